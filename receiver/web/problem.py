"""Problems as RFC 9457 documents. They say what to do and repeat nothing of the request."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with a problem document; `detail` says what to do about it."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body = json.dumps({**content, "detail": detail}).encode()
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def try_later(detail: str, seconds: int = 5) -> Response:
    """Answer 503 with the seconds after which the sender may try again."""
    return problem(503, detail, {"Retry-After": str(seconds)})
