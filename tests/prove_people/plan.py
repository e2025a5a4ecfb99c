"""Scenarios as data: rules for people, and what happens to them. Times are whole seconds.

The model reads these values; the program gets the same rules as the text of a routes.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass

OFFICE = "office"


@dataclass(frozen=True)
class Quiet:
    """Quiet hours of each day, in seconds after midnight UTC; they may go over midnight."""

    begins: int
    ends: int

    def __str__(self) -> str:
        begins, ends = (
            f'"{at // 3600:02}:{at % 3600 // 60:02}"' for at in (self.begins, self.ends)
        )
        return f"{{from: {begins}, to: {ends}, tz: UTC}}"


@dataclass(frozen=True)
class Place:
    """A destination."""

    name: str
    quiet: Quiet | None = None
    retry_for: int = 86_400
    fallback: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f", retry_for: {self.retry_for}s"
        more += f", quiet: {self.quiet}" if self.quiet else ""
        more += f", fallback: [{', '.join(self.fallback)}]" if self.fallback else ""
        return f"{self.name}: {{url: console://, rate: 1000/s{more}}}"


@dataclass(frozen=True)
class Way:
    """A route. With `stuck` it is about executions of which nothing was heard for that long."""

    name: str
    statuses: tuple[str, ...]
    notify: tuple[str, ...]
    agent: str = ""
    every: int = 0
    at_most: int = 0
    escalate: tuple[tuple[int, str], ...] = ()
    resolved: bool = False
    acknowledged: bool = False
    urgent: bool = False
    quiet: Quiet | None = None
    wait: int = 0
    apart: int = 0
    stuck: int = 0

    def __str__(self) -> str:
        statuses = f"[{', '.join(self.statuses)}]"
        about = [f"agent: {self.agent}"] if self.agent else []
        if not self.stuck:
            about.append(f"status: {statuses}")
        parts = [f"name: {self.name}", f"match: {{{', '.join(about)}}}"]
        if self.stuck:
            parts.append(f"stuck: {{status: {statuses}, after: {self.stuck}s}}")
        parts.append(f"notify: [{', '.join(self.notify)}]")
        if self.every:
            most = f", at_most: {self.at_most}" if self.at_most else ""
            parts.append(f"remind: {{every: {self.every}s{most}}}")
        if self.escalate:
            steps = [f"{{after: {after}s, notify: {to}}}" for after, to in self.escalate]
            parts.append(f"escalate: [{', '.join(steps)}]")
        parts += [
            f"{name}: true"
            for name in ("resolved", "acknowledged", "urgent")
            if getattr(self, name)
        ]
        if self.quiet:
            parts.append(f"quiet: {self.quiet}")
        if self.wait:
            parts.append(f"group: {{by: [agent], wait: {self.wait}s, every: {self.apart}s}}")
        return f"{{{', '.join(parts)}}}"


@dataclass(frozen=True)
class Rules:
    """The destinations and routes of a file.

    An office, of which no scenario says more, hears of what does not arrive.
    """

    places: tuple[Place, ...]
    ways: tuple[Way, ...]
    has_office: bool = False

    def place(self, name: str) -> Place | None:
        """Return a destination by its name."""
        return next((place for place in self.places if place.name == name), None)

    def way(self, name: str) -> Way | None:
        """Return a route by its name."""
        return next((way for way in self.ways if way.name == name), None)

    def __str__(self) -> str:
        places = "\n".join(f"  {place}" for place in self.places)
        ways = "\n".join(f"  - {way}" for way in self.ways)
        if self.has_office:
            places += f"\n  {OFFICE}: {{url: console://, rate: 1000/s}}"
            ways += f"\n  - {{name: dead, match: {{dead_letter: true}}, notify: {OFFICE}}}"
        return f"destinations:\n{places}\nroutes:\n{ways}\n"


@dataclass(frozen=True)
class Outage:
    """A time in which a destination answers otherwise: with 503, 404, `later` (503 and how many
    seconds to wait, in `after`), or its answer is `lost`. Or the process `dies` once while it sends
    a message there, and starts again at once.
    """

    to: str
    begins: int
    ends: int
    answer: str
    after: int = 0


@dataclass(frozen=True)
class Act:
    """What happens at a time.

    `moves` (an execution to a status), `hears` (an event without a status), `takes` (an execution,
    by somebody), `silences` (a condition and its value, for so many seconds), `unsilences` (the
    silence with this number), `reloads` (the rules with this number), `stops` and `starts` (with
    our clock so many seconds ahead of the sender's).
    """

    at: int
    what: str
    about: str = ""
    more: str = ""
    number: int = 0


@dataclass(frozen=True)
class Scenario:
    """Rules, what happens until when, how destinations answer, and the chance of each retry.

    All times are those of our clock, which is so far `ahead` of the sender's at the beginning.
    """

    rules: tuple[Rules, ...]  # the first is in force at the beginning
    acts: tuple[Act, ...]
    outages: tuple[Outage, ...]
    begins: int  # seconds after a midnight
    ends: int
    chance: float = 1.0
    ahead: int = 0


Item = tuple[str, str]  # an execution, and what is said of it


@dataclass(frozen=True, order=True)
class Told:
    """A message as it arrived: when, where, what it says of which executions, as a repeat?"""

    at: int
    to: str
    items: tuple[Item, ...]
    repeat: bool = False

    def __str__(self) -> str:
        said = "; ".join(f"{execution}: {what}" for execution, what in self.items)
        return f"{self.at:>7} s  {self.to}  {said}{'  (possible repeat)' if self.repeat else ''}"
