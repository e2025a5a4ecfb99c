"""What a message says of which executions, in essence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.prove_people.plan import Item
from tests.prove_people.state import WAITS, Owed


def items(those: list[Owed]) -> tuple[Item, ...]:
    """Return what a message that stands for these says of which executions."""
    if len(those) == 1 and not those[0].listed:
        return ((those[0].episode.execution, said(those[0])),)
    told = [each for owed in those for each in owed.listed or (owed,)]
    return tuple(sorted({item for each in latest(told) for item in listed(each)}))


def is_known_to_be_over(owed: Owed) -> bool:
    """Whether its reader heard the end of the episode that a message is about."""
    is_end = owed.kind in ("resolved", "taken")
    return bool(owed.episode.over) and not is_end and owed.to in owed.episode.ended


def latest(missed: Iterable[Owed]) -> tuple[Owed, ...]:
    """Return the newest of the messages about each execution; what is, before what ended."""
    newest = dict[str, Owed]()
    for owed in missed:
        other = newest.setdefault(owed.episode.execution, owed)
        if age(owed) >= age(other):
            newest[owed.episode.execution] = owed
    return tuple(newest.values())


def age(owed: Owed) -> tuple[int, int]:
    """Return what orders the messages about an execution by how new they are."""
    if owed.kind == "resolved":
        return owed.episode.ended_by, 1
    return owed.episode.number, 1 if owed.kind == "taken" else 2


def said(owed: Owed) -> str:
    """Return what a message about one execution says, in essence."""
    episode = owed.episode
    if owed.kind == "notice":
        return episode.status + (f", {episode.taken} has it" if episode.taken else "")
    if owed.kind == "reminder":
        return f"reminder {owed.step} {episode.status}"
    if owed.kind == "taken":
        return f"taken by {owed.by}"
    if owed.kind == "resolved":
        return f"{episode.status} is over: {episode.over}"
    return f"{owed.kind} {episode.status}"


def listed(owed: Owed) -> Iterator[Item]:
    """Return the line of a digest: several messages about one episode are one line."""
    episode = owed.episode
    if owed.kind == "resolved":
        yield episode.execution, f"{episode.status} is over: {episode.over}"
    elif owed.kind == "taken":
        yield episode.execution, f"taken by {episode.taken}"
    elif episode.over:
        if episode.status in WAITS and not is_known_to_be_over(owed):
            yield episode.execution, "over"
    elif episode.taken:
        yield episode.execution, f"{episode.status}, {episode.taken} has it"
    else:
        yield episode.execution, episode.status
