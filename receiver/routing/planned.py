"""Planned: an episode with all messages about it, and what is planned for it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from receiver.deliveries import Kind, State
from receiver.events import Status
from receiver.routing.conditions import Subject

# The reason why a plan is superseded that no rule asks for any more.
NOT_ASKED = "no rule asks for it any more"


def not_asked_if_stuck(route: str) -> str:
    """Return the same for words about what is stuck."""
    return f"no route {route} asks for what is stuck any more"


@dataclass(frozen=True, slots=True)
class Told:
    """A stored delivery about an episode. Times are nanoseconds.

    `at` is when it was sent, given up or kept back, or is due. `fell_from` is the kind of the dead
    delivery that a fall-back repeats, `instead_of` the destination for which that was. `is_stuck`:
    it says that nothing is heard. `is_silenced`: a silence kept it back; if it `is_listed`, the
    digest told it. `is_tried`: an attempt was made. `has_fallen`: others got it in its place. What
    `is_in_quiet_hours` goes out with the others that they keep back.
    """

    number: int
    key: str
    kind: Kind
    state: State
    route: str
    destination: str
    step: int
    planned_at: int
    at: int
    group_key: str | None = None
    fell_from: Kind | None = None
    is_stuck: bool = False
    is_silenced: bool = False
    is_tried: bool = False
    reason: str = ""
    has_fallen: bool = False
    instead_of: str = ""
    is_listed: bool = False
    is_in_quiet_hours: bool = False

    @property
    def is_plan(self) -> bool:
        """Whether it waits, was never tried, and is owed only if the episode lasts."""
        follows = self.kind in (Kind.REMINDER, Kind.ESCALATION) or self.is_stuck
        return follows and self.state is State.WAITING and not self.is_tried

    @property
    def why_ended(self) -> str:
        """The reason why it is superseded if no rule asks for it any more."""
        return not_asked_if_stuck(self.route) if self.is_stuck else NOT_ASKED

    @property
    def is_ended_plan(self) -> bool:
        """Whether it was superseded because no rule asked for it any more."""
        return self.state is State.SUPERSEDED and self.reason == self.why_ended

    @property
    def is_on_its_way(self) -> bool:
        """Whether it is being sent, or is tried again."""
        return self.state is State.SENDING or (self.state is State.WAITING and self.is_tried)

    @property
    def is_told(self) -> bool:
        """Whether people were told, or would have been without a silence."""
        return self.state is State.SENT or self.is_silenced

    @property
    def is_done(self) -> bool:
        """Whether it was told, is being told, or was given up."""
        return self.is_told or self.is_on_its_way or self.state is State.DEAD

    @property
    def is_given_up(self) -> bool:
        """Whether it died and nobody got it instead: what follows it comes all the same."""
        return self.state is State.DEAD and not self.has_fallen

    @property
    def is_first(self) -> bool:
        """Whether it is the first message of its route to its destination."""
        if self.kind is Kind.FALLBACK:
            return self.fell_from in (Kind.NOTICE, Kind.FALLBACK)
        return self.kind is Kind.NOTICE and self.fell_from is None


@dataclass(frozen=True, slots=True)
class Episode:
    """A stay of an execution in a status since `begun_at` (ns), and all messages about it.

    The number of the `event` that began it; the last event came at `heard_at`. `taken_by` somebody.
    """

    source: str
    execution_id: str
    version: int
    status: Status
    event: int
    event_id: str
    begun_at: int
    heard_at: int
    subject: Subject
    taken_by: str = ""
    messages: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A message that is owed at `planned_at` (ns) if the episode lasts until then.

    That counts from `since` (ns): the beginning, the last event, or the last message.
    With `is_if_silent` also only if nothing is heard: it is put off when it is due. If the time
    `is_vague`, because the clock was set back, what waits already keeps its own.
    """

    kind: Kind
    route: str
    destination: str
    step: int
    since: int
    planned_at: int
    key: str
    group_key: str | None = None
    gathers: int = 0
    is_if_silent: bool = False
    is_vague: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between what is planned and what waits.

    `moved` have the number of a stored delivery; `ended` those that no rule asks for, and why.
    """

    added: tuple[Plan, ...] = ()
    moved: tuple[tuple[int, Plan], ...] = ()
    ended: tuple[tuple[int, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.moved or self.ended)


def later_key(
    kind: str, source: str, destination: str, event_id: str, route: str, step: int
) -> str:
    """Return the key of a message that a route owes later about the episode that an event began."""
    return f"{kind}/{source}/{destination}/{event_id}/{route}/{step}"
