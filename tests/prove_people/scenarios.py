"""Random scenarios: stories of executions under random rules, with troubles of some kinds.

Each thing that happens has a second of the minute of its own, and everything that rules ask for is
whole minutes later: what is due at the same second is so for a reason.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from tests.prove_people.plan import Act, Outage, Place, Quiet, Rules, Scenario, Way

MINUTE, HOUR = 60, 3600
MOVES = {
    "": ("running", "running", "awaiting_confirmation", "paused_by_agent"),
    "running": ("awaiting_confirmation", "awaiting_confirmation", "paused_by_agent", "completed",
                "failed"),
    "awaiting_confirmation": ("running", "running", "cancelled", "failed"),
    "paused_by_agent": ("running", "running", "cancelled"),
}  # fmt: skip
CLOCKS = (0, 0, 3 * MINUTE, 40 * MINUTE, 25 * HOUR)  # how far ahead it is
SHARE = 20  # scenarios that share their rules
TROUBLES = ("quiet", "silences", "outages", "reloads", "restarts", "stuck", "groups",
            "clock", "deaths")  # fmt: skip
PLACES = ("team", "lead", "mail")


def scenario(seed: int, number: int, troubles: tuple[str, ...] = TROUBLES) -> Scenario:
    """Return a scenario with up to three of these troubles.

    Some in a row have the same rules: to read rules takes longer than most scenarios.
    """
    chance = random.Random(f"rules {seed} {number // SHARE}")
    kinds = set(chance.sample(troubles, min(len(troubles), chance.choice((0, 1, 1, 2, 2, 3)))))
    first = rules(chance, kinds)
    versions = [first]
    if "reloads" in kinds:
        versions += [changed(chance, first) for _ in range(3)]
    chance = random.Random(f"people {seed} {number}")
    seconds = list(range(1, 60))
    chance.shuffle(seconds)
    end = chance.choice((1, 2, 2, 4)) * HOUR

    def when(latest: int = end) -> int:
        return chance.randrange(latest // MINUTE) * MINUTE + seconds.pop()

    acts = list(story(chance, when, chance.choice((1, 1, 2, 3))))
    if "silences" in kinds:
        acts += silences(chance, when, acts)
    if "reloads" in kinds:
        acts += reloads(chance, when)
    if kinds & {"restarts", "clock"}:
        acts = with_stops(chance, when, acts)
    outages = list(troubled(chance, acts, seconds)) if "outages" in kinds else []
    if "deaths" in kinds:
        outages += deadly(chance, acts)
    acts.sort(key=lambda act: act.at)
    begins = chance.randrange(24 * 60) * MINUTE
    ends = end + (10 * HOUR if "quiet" in kinds else 90 * MINUTE)
    given = Scenario(
        tuple(versions), numbered(acts), tuple(outages), begins, ends, chance.choice((1.0, 0.4))
    )
    return with_clock(chance, given) if "clock" in kinds else given


def with_clock(chance: random.Random, given: Scenario) -> Scenario:
    """Return the same by a clock that is set while nothing runs."""
    ahead = first = chance.choice(CLOCKS)
    began = [(0, first)]
    acts = []
    for act in given.acts:
        if act.what == "starts":
            ahead = 0 if ahead and chance.random() < 0.8 else chance.choice(CLOCKS)
            began.append((act.at, ahead))
        number = ahead if act.what == "starts" else act.number
        acts.append(replace(act, at=act.at + ahead, number=number))
    outages = []
    for outage in given.outages:
        by = next(by for since, by in reversed(began) if since <= outage.begins)
        outages.append(replace(outage, begins=outage.begins + by, ends=outage.ends + by))
    return replace(
        given, acts=tuple(acts), outages=tuple(outages), ends=given.ends + ahead, ahead=first
    )


def minutes(chance: random.Random, *choice: int) -> int:
    """Return one of these numbers of minutes, in seconds."""
    return chance.choice(choice) * MINUTE


def quiet(chance: random.Random) -> Quiet:
    """Return quiet hours."""
    begins, length = chance.randrange(24) * HOUR, minutes(chance, 60, 180, 540)
    return Quiet(begins, (begins + length) % (24 * HOUR))


def rules(chance: random.Random, kinds: set[str]) -> Rules:
    """Return rules for people."""
    places = []
    for name in PLACES:
        hours = quiet(chance) if "quiet" in kinds and chance.random() < 0.4 else None
        fallback: tuple[str, ...] = ()
        if "outages" in kinds and name != "mail":
            fallback = chance.choice((("mail",), ("mail",), ("lead",) if name == "team" else ()))
        places.append(Place(name, hours, minutes(chance, 1, 3, 10, 1440), fallback))
    waits = Way(
        "waits",
        chance.choice((("awaiting_confirmation",), ("awaiting_confirmation", "paused_by_agent"))),
        chance.choice((("team",), ("team",), ("team", "lead"))),
        every=minutes(chance, 0, 5, 10, 15, 60),
        at_most=chance.choice((0, 2, 2, 3)),
        escalate=escalations(chance),
        resolved=chance.random() < 0.7,
        acknowledged=chance.random() < 0.7,
        urgent="quiet" in kinds and chance.random() < 0.2,
        quiet=quiet(chance) if "quiet" in kinds and chance.random() < 0.3 else None,
    )
    if waits.urgent:
        waits = replace(waits, quiet=None)  # both together are refused
    if "groups" in kinds and chance.random() < 0.8:
        waits = replace(waits, wait=minutes(chance, 1, 2), apart=minutes(chance, 2, 5))
    ends = Way("ends", ("failed", "cancelled"), chance.choice((("team",), ("mail",))))
    ways = [waits, ends]
    if chance.random() < 0.3:
        runs = Way("runs", ("running",), ("lead",), resolved=chance.random() < 0.5)
        ways.append(replace(runs, every=minutes(chance, 0, 30), at_most=2))
    if "stuck" in kinds:
        ways.append(
            Way(
                "stuck", chance.choice((("running",), ("running", "awaiting_confirmation"))),
                (chance.choice(PLACES),), stuck=minutes(chance, 20, 45, 120),
                every=minutes(chance, 0, 0, 30), resolved=chance.random() < 0.5,
            )
        )  # fmt: skip
    return Rules(tuple(places), tuple(ways), has_office=bool(kinds & {"outages", "deaths"}))


def escalations(chance: random.Random) -> tuple[tuple[int, str], ...]:
    """Return the steps of an escalation."""
    steps = (
        (minutes(chance, 7, 20, 60), "lead"),
        (minutes(chance, 90, 120), chance.choice(PLACES)),
    )
    return steps[: chance.choice((0, 1, 1, 2))]


def story(chance: random.Random, when: object, executions: int) -> Iterator[Act]:
    """Yield what executions do, and who takes them. The first two are of the same agent."""
    for execution in ("x1", "x2", "y")[:executions]:
        status = ""
        for at in sorted(when() for _ in range(chance.randint(1, 5))):  # type: ignore[operator]
            if status not in MOVES:
                break
            if status and chance.random() < 0.1:
                yield Act(at, "hears", execution)
            elif status and chance.random() < 0.25:
                yield Act(at, "takes", execution, chance.choice(("Ann", "Bob")))
            else:
                status = chance.choice(MOVES[status])
                yield Act(at, "moves", execution, status)


def silences(chance: random.Random, when: object, told: list[Act]) -> Iterator[Act]:
    """Yield silences, some of which end early."""
    for _ in range(chance.choice((1, 1, 2))):
        what, value = chance.choice(
            (("status", "awaiting_confirmation"), ("status", "running"), ("status", "failed"),
             ("agent", "agent-x"))
        )  # fmt: skip
        begins = when()  # type: ignore[operator]
        if chance.random() < 0.5:
            near = chance.choice(told).at // MINUTE - chance.choice((0, 1, 5))
            begins = max(near, 0) * MINUTE + begins % MINUTE
        length = minutes(chance, 2, 12, 40, 120)
        yield Act(begins, "silences", what, value, length)
        if chance.random() < 0.3:
            yield Act(
                begins + MINUTE * chance.randint(1, length // MINUTE), "unsilences", number=begins
            )


def numbered(acts: list[Act]) -> tuple[Act, ...]:
    """Name silences by their places among the silences."""
    begun = [act.at for act in acts if act.what == "silences"]
    return tuple(
        replace(act, number=begun.index(act.number)) if act.what == "unsilences" else act
        for act in acts
    )


def reloads(chance: random.Random, when: object) -> Iterator[Act]:
    """Yield reloads of changed rules, and of the first ones."""
    for at in sorted(when() for _ in range(chance.choice((1, 2, 2, 3)))):  # type: ignore[operator]
        yield Act(at, "reloads", number=chance.choice((0, 1, 2, 3)))


def changed(chance: random.Random, before: Rules) -> Rules:
    """Return the same rules with something else."""
    waits, *others = before.ways
    change = chance.choice(("every", "name", "escalate", "place", "quiet", "options"))
    if change == "every":
        waits = replace(waits, every=minutes(chance, 0, 5, 15, 30))
    elif change == "name":
        waits = replace(waits, name="waiting")
    elif change == "escalate":
        waits = replace(waits, escalate=escalations(chance))
    elif change == "options":
        waits = replace(waits, resolved=not waits.resolved)
    places = before.places
    if change == "quiet":
        places = tuple(
            replace(p, quiet=None if p.quiet or chance.random() < 0.5 else quiet(chance))
            for p in places
        )
    if change == "place" and not any("lead" in p.fallback for p in places):
        ways = tuple(renamed(way) for way in before.ways)
        places = tuple(replace(p, name="leed" if p.name == "lead" else p.name) for p in places)
        return replace(before, places=places, ways=ways)
    return replace(before, places=places, ways=(waits, *others))


def renamed(way: Way) -> Way:
    """Return the route with a misspelt destination."""
    names = {"lead": "leed"}
    return replace(
        way,
        notify=tuple(names.get(to, to) for to in way.notify),
        escalate=tuple((after, names.get(to, to)) for after, to in way.escalate),
    )


def with_stops(chance: random.Random, when: object, acts: list[Act]) -> list[Act]:
    """Return the acts with one or two times in which nothing runs; nothing comes in there."""
    down = list[tuple[int, int]]()
    for _ in range(chance.choice((1, 1, 2))):
        stop = when()  # type: ignore[operator]
        start = stop + minutes(chance, 1, 10, 60) + 1
        if any(stop <= end and begin <= start for begin, end in down):
            continue
        down.append((stop, start))
        acts = [act for act in acts if not stop <= act.at <= start]
        acts += [Act(stop, "stops"), Act(start, "starts")]
    kept = {act.at for act in acts if act.what == "silences"}
    kept_acts = [act for act in acts if act.what != "unsilences" or act.number in kept]
    return legal(sorted(kept_acts, key=lambda act: act.at))


def legal(acts: list[Act]) -> list[Act]:
    """Return the acts without moves that do not follow from what is left."""
    found = list[Act]()
    status = dict[str, str]()
    for act in acts:
        before = status.get(act.about, "")
        if act.what == "moves":
            if act.more not in MOVES.get(before, ()):
                continue
            status[act.about] = act.more
        elif act.what in ("hears", "takes") and not before:
            continue
        found.append(act)
    return found


def troubled(chance: random.Random, acts: list[Act], seconds: list[int]) -> Iterator[Outage]:
    """Yield times in which destinations fail, near to something that happens."""
    for _ in range(chance.choice((1, 1, 2))):
        near = chance.choice(acts).at // MINUTE + chance.choice((-20, -5, -1, -1, 0, 5, 15))
        begins = max(near, 0) * MINUTE + seconds.pop()
        answer = chance.choice(("503", "404", "later", "lost"))
        yield Outage(
            chance.choice(("team", "team", "lead", "mail")), begins,
            begins + chance.choice((20, 80, 300, 900, 2000)), answer, chance.choice((30, 200, 900)),
        )  # fmt: skip


def deadly(chance: random.Random, acts: list[Act]) -> Iterator[Outage]:
    """Yield times in which the process dies while it sends a message, near to what happens."""
    for _ in range(chance.choice((1, 1, 2))):
        begins = max(chance.choice(acts).at - chance.choice((0, 0, 1200, 3600)), 0)
        yield Outage(chance.choice(("team", "team", "lead")), begins, begins + HOUR, "dies")
