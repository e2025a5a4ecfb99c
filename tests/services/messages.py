"""Messages of the table: as the receiver composes them, of hostile and of long texts."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from receiver.deliveries import Message
from receiver.events import Status
from tests.support.people import SECOND, Walk

ID = "run_7f3a_2b"
LINK = f"https://platform.example.com/runs/{ID}"
LINKS = [f"https://platform.example.com/runs/run_7f3a_{number}" for number in range(10, 20)]
_RULES = """\
destinations: {ops: {url: "json://127.0.0.1", rate: 1000/s}}
routes:
  - {name: all, match: {status: "*"}, notify: ops}
"""
# Ways to notify people, each of some service.
_MENTIONS = (
    '@everyone @here @channel @all <!channel> <!here> <@U0123ABCD> <@&1234> <at user_id="all">all'
    "</at> <at id=all></at> @**all** @_**all** @room <users/all> <@all> <at>Ann</at> @15551234567"
)


@cache
def hostile() -> Message:
    """Compose the notice of a failure whose reason would notify everybody."""
    return _composed(Status.FAILED, {"reason": f"The ledger refused: {_MENTIONS}"})


@cache
def long() -> Message:
    """Compose the longest notice: of a question with many answers."""
    asked = [
        {"question": f"Which of the suppliers of größe {number} is meant?"
                     + " They look alike." * 12,
         "options": [{"label": f"Supplier {each} & Söhne"} for each in range(9)]}
        for number in range(9)
    ]  # fmt: skip
    detail = {"reason": "Several suppliers fit. " * 30, "question": {"questions": asked}}
    return _composed(Status.PAUSED_BY_AGENT, detail)


@cache
def listed() -> Message:
    """Compose a digest of ten confirmations that wait."""
    group = _RULES.replace("notify: ops", "notify: ops, group: {by: [status], wait: 1s, every: 1s}")
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(Path(folder), group)
        for link in LINKS:
            walk.comes(
                Status.AWAITING_CONFIRMATION, link.rpartition("/")[2], agent_name="Ledger agent",
                execution_url=link, detail={"reason": f"About to pay for {link[-2:]} größe"},
            )  # fmt: skip
        walk.passes(2 * SECOND)
        (told,) = walk.gets()
        walk.store.close()
    return told.message


def _composed(status: Status, detail: dict[str, Any]) -> Message:
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(Path(folder), _RULES)
        walk.comes(
            status, ID, agent_name="Ledger agent", execution_url=LINK, detail=detail,
            metadata={"team": "pay_ments", "note": "two words " * 20},
        )  # fmt: skip
        (told,) = walk.gets()
        walk.store.close()
    return told.message
