"""Destination: a named place to notify, and what its kind of URL says about it."""

from __future__ import annotations

from dataclasses import dataclass

from receiver.routing.quiet_hours import QuietHours


@dataclass(frozen=True, slots=True)
class Destination:
    """A named place to notify: one Apprise URL (a secret: never print it).

    `rate` is messages per second; None leaves it to the kind of URL (Slack and e-mail 1/s, others
    10/s). `parallel` attempts may be made at once. `retry_for` and `timeout` are seconds.
    `fallback` are the destinations that get what dies here, `quiet` its quiet hours. `line` is
    where it stands in routes.yaml.
    """

    name: str
    url: str
    rate: float | None = None
    retry_for: float = 24 * 3600.0
    timeout: float = 30.0
    parallel: int = 1
    fallback: tuple[str, ...] = ()
    quiet: QuietHours | None = None
    line: int = 0

    def __repr__(self) -> str:
        return f"Destination(name={self.name!r})"
