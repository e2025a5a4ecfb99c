"""The table: every service with its cells, and the page of the reference that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from receiver.destinations.apprise.vendors import WITHOUT_REQUESTS
from tests.services.checks import COLUMNS, Cell
from tests.services.described import SERVICES, Service
from tests.services.stages import stage_of
from tests.support.plugins import ADDRESSES
from tests.support.standin import StandIn

PAGE = Path(__file__).parents[2] / "receiver" / "help" / "services.md"
HEAD = f"| service | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}"
TEXT = """\
# Services

What {number} services do with a message.

Each cell is a message of the receiver that goes through the real plugin of Apprise to
a stand-in on loopback, which answers as the service documents. **No
service was asked itself: all were seen only through stand-ins.** Only of e-mail is the other side a
mail server as others run it, on loopback. `python -m tests.services` writes this page, and exits
with 1 if a cell is wrong. To add a service, add a row to `tests/services/described.py`.

{table}

| column | what was seen |
|---|---|
{legend}

| service | its documentation |
|---|---|
{sources}

Of all {plugins} plugins that send by HTTP a test shows on loopback that only an accepted request
with the message is *delivered*. Of {without}
only Apprise's word is known: they answer nothing, or on a connection of their own library.
"""


def cells_of(service: Service, stand_in: StandIn) -> Mapping[str, Cell]:
    """Run every check of a service."""
    with stage_of(service, stand_in) as stage:
        return {name: run(stage) for name, run in COLUMNS.items()}


def row(service: Service, cells: Mapping[str, Cell]) -> str:
    """Write the row of a service."""
    return f"| {service.name} | {' | '.join(cell.shown for cell in cells.values())} |"


def page(rows: Iterable[str]) -> str:
    """Write the page with these rows."""
    names = sorted(WITHOUT_REQUESTS)
    return TEXT.format(
        number=len(SERVICES),
        table="\n".join([HEAD, *rows]),
        legend="\n".join(f"| {name} | {_plain(run)} |" for name, run in COLUMNS.items()),
        sources="\n".join(f"| {each.name} | {each.source} |" for each in SERVICES),
        plugins=len(ADDRESSES),
        without=f"{', '.join(names[:-1])} and {names[-1]}",
    )


def _plain(run: Callable[..., Cell]) -> str:
    """Write what a check sees, in one line."""
    return " ".join((run.__doc__ or "").split()).rstrip(".")
