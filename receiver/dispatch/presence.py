"""Presence: the times in which this program served, so that its own absence is nobody's silence.

A process that serves a source says so now and then. Nothing counts as silent while none did:
neither a source (`quiet_after`) nor an execution that may be stuck. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from receiver.config.live_rules import FailedReload
from receiver.config.rules import Rules
from receiver.store.records import HeardSource, Watched
from receiver.times import SECOND

# A process that serves says so at least this often, and more often where rules ask for silences
# that are not much longer. One that says nothing for twice as long did not serve.
SERVES_EVERY = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Refused:
    """The webhooks of a source that were refused lately: how many, since when, most often why."""

    n: int
    since: int
    cause: str


@dataclass(frozen=True, slots=True)
class Missed:
    """The changes that lately came by no webhook and were learnt by asking: how many, since when.

    `is_refused`: the provider refuses the key, so that nobody asks any more.
    """

    n: int
    since: int
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """Observation of this process about itself at `now`; times are nanoseconds.

    It serves since `since`. `refused` has the sources of which webhooks were refused within the
    last REFUSALS_IN; None: it does not serve for that long. `failed` is the last reload, if it
    failed. `missed` has the sources whose webhooks did not come within the last hour.
    """

    rules: Rules
    now: int
    since: int
    refused: Mapping[str, Refused] = field(default_factory=dict)
    failed: FailedReload | None = None
    missed: Mapping[str, Missed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Serving:
    """A source is served now, and its silence counts from `quiet_from`.

    Before, it was not served since `absent_since` (None: it was).
    """

    source: str
    quiet_from: int
    absent_since: int | None = None


def serving(watched: Watched, seen: Observation) -> Iterator[Serving]:
    """Yield the sources of which it is time to say that they are served, or were not."""
    is_watched = any(route.stuck is not None for route in seen.rules.routes)
    every = _serves_every(seen.rules)
    for name, source in seen.rules.sources.items():
        if source.quiet_after is None and not is_watched:
            continue
        heard = watched.sources.get(name, HeardSource(name, None, None, None))
        since = _absent_since(heard, seen, every)
        if since is None and heard.served_at is not None and seen.now - heard.served_at < every:
            continue
        yield Serving(name, quiet_from(heard, seen, every), since)


def _serves_every(rules: Rules) -> int:
    """Return how often a process says that it serves (nanoseconds)."""
    asked = [int(s.quiet_after * SECOND) for s in rules.sources.values() if s.quiet_after]
    asked += [route.stuck.after for route in rules.routes if route.stuck is not None]
    return min(max(min(asked, default=SERVES_EVERY) // 10, SECOND), SERVES_EVERY)


def _absent_since(heard: HeardSource, seen: Observation, every: int) -> int | None:
    """Return since when nobody has served a source; None: somebody has."""
    if heard.served_at is None:
        return None
    is_absence = heard.served_at < seen.since or seen.now - heard.served_at > 2 * every
    return heard.served_at if is_absence else None


def quiet_from(heard: HeardSource, seen: Observation, every: int | None = None) -> int:
    """Return the time from which the silence of a source counts, without our own absence."""
    if heard.served_at is None or heard.quiet_from is None:
        return seen.now
    since = _absent_since(heard, seen, _serves_every(seen.rules) if every is None else every)
    absence = 0 if since is None else max(seen.now - max(since, heard.quiet_from), 0)
    return heard.quiet_from + absence
