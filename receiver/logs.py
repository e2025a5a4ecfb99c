"""The log on standard error: a line an act, as text or JSON; no event can forge one."""

from __future__ import annotations

import json
import logging
import time

MAX_LINE = 8_000  # characters of a message


class Text(logging.Formatter):
    """`time level logger message`; whatever would start a new line is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname.lower()} {record.name} {_message(record)}"


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": _time(record),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _message(record),
            }
        )


def configure(log_format: str, level: str) -> None:
    """Log to standard error from here on."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if log_format == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What libraries say below a warning is theirs; some of it holds addresses and tokens. Apprise
    # is not among them: `notify` keeps its log to itself, and reads in it why a send failed.
    for name in ("uvicorn", "asyncio", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of each request that is no HTTP; we tell of those once a minute.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _time(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += " " + logging.Formatter().formatException(record.exc_info)
    if not (message.isascii() and message.isprintable()):
        message = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in message
        )
    if len(message) > MAX_LINE:
        # What went wrong stands at the end of a traceback, what was being done at its start.
        message = f"{message[: MAX_LINE // 2]} … {message[-MAX_LINE // 2 :]}"
    return message
