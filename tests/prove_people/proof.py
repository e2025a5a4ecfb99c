"""Proves that people are told what the rules say, when they say it.

    python -m tests.prove_people --seed 1 --scenarios 100000

Random scenarios go through the real store, planner, turns and texts, with the time passed in, and
through `tests.prove_people.model`, which was written from the text of the rules. What people were
told is compared message by message and second by second.

Exit code 1 on a disagreement; the smallest scenario that still shows it is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tests.prove_people import drive, model, planted
from tests.prove_people.plan import Act, Place, Rules, Scenario, Way
from tests.prove_people.scenarios import TROUBLES, legal, scenario
from tests.support.stores import shared_memory


class Disagreement(AssertionError):
    """The program and the model tell people different things."""


def difference(given: Scenario, folder: Path, figures: Counter[str] | None = None) -> str:
    """Return how the program and the model differ in a scenario; nothing if they agree."""
    expected = Counter(model.play(given))
    try:
        seen = Counter(drive.play(given, folder))
    except Exception as error:  # whatever it is, it is a disagreement that has to be shown
        return f"the program fails: {error!r}"
    if figures is not None:
        figures["scenarios"] += 1
        figures["messages"] += seen.total()
    missing = [f"wanted only: {told}" for told in (expected - seen).elements()]
    more = [f"seen only:   {told}" for told in (seen - expected).elements()]
    return "\n".join(sorted([*missing, *more], key=lambda line: line[13:]))


def smallest(given: Scenario, folder: Path, tries: int = 400) -> Scenario:
    """Return a smaller scenario that still shows a disagreement."""
    shrinking = True
    while shrinking and tries > 0:
        shrinking = False
        for smaller in smaller_ones(given):
            tries -= 1
            if difference(smaller, folder):
                given, shrinking = smaller, True
                break
            if tries <= 0:
                break
    return given


def smaller_ones(given: Scenario) -> Iterator[Scenario]:
    """Yield the same with less of it."""
    for at in range(len(given.outages)):
        yield replace(given, outages=given.outages[:at] + given.outages[at + 1 :])
    has_clock = any(now.at < then.at for then, now in pairwise(given.acts))
    for at, act in enumerate(given.acts):
        if act.what in ("starts", "silences") or (act.what == "stops" and has_clock):
            continue  # a clock is set only while nothing runs
        rest = list(given.acts[:at] + given.acts[at + 1 :])
        if act.what == "stops":
            start = next(n for n in range(at, len(rest)) if rest[n].what == "starts")
            del rest[start]
        if legal(rest) == rest:
            yield replace(given, acts=tuple(rest))
    silences = [at for at, act in enumerate(given.acts) if act.what == "silences"]
    if silences and not any(act.what == "unsilences" for act in given.acts):
        for at in silences:
            yield replace(given, acts=given.acts[:at] + given.acts[at + 1 :])
    for number in range(len(given.rules[0].ways)):
        for plain in PLAINER:
            yield from simpler(given, number, plain)
    for number in range(len(given.rules[0].places)):
        for bare in BARER:
            versions = [
                with_place(rules, number, bare(rules.places[number])) for rules in given.rules
            ]
            if tuple(versions) != given.rules:
                yield replace(given, rules=tuple(versions))


PLAINER: tuple[Callable[[Way], Way], ...] = (
    lambda way: replace(way, every=0),
    lambda way: replace(way, at_most=0),
    lambda way: replace(way, escalate=way.escalate[:-1]),
    lambda way: replace(way, resolved=False),
    lambda way: replace(way, acknowledged=False),
    lambda way: replace(way, urgent=False),
    lambda way: replace(way, quiet=None),
    lambda way: replace(way, wait=0),
)
BARER: tuple[Callable[[Place], Place], ...] = (
    lambda place: replace(place, quiet=None),
    lambda place: replace(place, fallback=()),
)


def with_place(rules: Rules, number: int, place: Place) -> Rules:
    """Return the rules with another destination in a place."""
    return replace(rules, places=(*rules.places[:number], place, *rules.places[number + 1 :]))


def simpler(given: Scenario, number: int, plain: Callable[[Way], Way]) -> Iterator[Scenario]:
    """Yield the scenario with a simpler route, and without it."""
    versions = []
    for rules in given.rules:
        way = plain(rules.ways[number])
        versions.append(replace(rules, ways=(*rules.ways[:number], way, *rules.ways[number + 1 :])))
    if tuple(versions) != given.rules:
        yield replace(given, rules=tuple(versions))
    if plain is PLAINER[0] and len(given.rules[0].ways) > 1:
        fewer = [replace(r, ways=r.ways[:number] + r.ways[number + 1 :]) for r in given.rules]
        yield replace(given, rules=tuple(fewer))


def shown(given: Scenario) -> str:
    """Return a scenario for people to read."""
    hour, minute = given.begins // 3600, given.begins % 3600 // 60
    used = {act.number for act in given.acts if act.what == "reloads"} | {0}
    lines = [f"begins at {hour:02}:{minute:02} UTC, chance {given.chance}"]
    for number, rules in enumerate(given.rules):
        if number in used:
            lines.append(f"rules {number}:\n{rules}".rstrip())
    lines += [
        f"{outage.begins:>7} s  {outage.to} answers {outage.answer} until {outage.ends} s"
        + (f", after {outage.after} s" if outage.answer == "later" else "")
        for outage in given.outages
    ]
    lines += [line_of(act) for act in given.acts]
    return "\n".join(lines)


def line_of(act: Act) -> str:
    """Return an act as a line."""
    number = act.number if act.what in ("silences", "unsilences", "reloads") else ""
    return f"{act.at:>7} s  {act.what} {act.about} {act.more} {number}".rstrip()


def prove(
    seed: int, numbers: Iterable[int], *, troubles: Sequence[str] = TROUBLES, shrink: bool = True,
    goes_on: bool = False,
) -> Counter[str]:  # fmt: skip
    """Hold scenarios to the model; figures, or Disagreement.

    With `goes_on` it prints each disagreement and counts it.
    """
    figures: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=shared_memory()) as name:
        folder = Path(name)
        for number in numbers:
            given = scenario(seed, number, tuple(troubles))
            wrong = difference(given, folder, figures)
            if not wrong:
                figures["agree"] += 1
                continue
            if shrink:
                given = smallest(given, folder)
                wrong = difference(given, folder)
            found = f"seed {seed}, scenario {number}\n{shown(given)}\n{wrong}"
            if not goes_on:
                raise Disagreement(found)
            print(f"\n{found}", flush=True)
            figures["differ"] += 1
    return figures


def counted(count: int, first: int = 0) -> Iterator[int]:
    """Yield so many numbers from the first one on, and show how far it is."""
    begun = time.perf_counter()
    for number in range(first, first + count):
        if number % 100 == 0:
            took = time.perf_counter() - begun
            print(f"\r{number:,} of {first + count:,}, {took:.0f} s", end="", flush=True)
        yield number


def find_planted(seed: int) -> int:
    """Say of each planted bug whether it is found; return 1 if one is not."""
    missed = 0
    for bug, is_found in planted.report(seed):
        missed += not is_found
        print(f"{'found' if is_found else 'NOT FOUND':>10}  {bug.name}", flush=True)
    return int(missed > 0)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.prove_people", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="another seed, other scenarios")
    parser.add_argument("--scenarios", type=int, default=2_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--troubles", nargs="*", default=TROUBLES, choices=TROUBLES, help="which")
    parser.add_argument("--as-found", action="store_true", help="do not make it smaller")
    parser.add_argument("--go-on", action="store_true", help="do not end at a disagreement")
    parser.add_argument(
        "--planted", action="store_true", help="plant bugs into copies instead: each is found"
    )
    given = parser.parse_args()
    if given.planted:
        return find_planted(given.seed)
    begun = time.perf_counter()
    try:
        figures = prove(
            given.seed, counted(given.scenarios, given.first), troubles=given.troubles,
            shrink=not given.as_found, goes_on=given.go_on,
        )  # fmt: skip
    except Disagreement as disagreement:
        print(f"\n{disagreement}")
        return 1
    how = f"{figures['differ']} disagreements" if figures["differ"] else "no disagreement"
    print(f"\n{how} in {time.perf_counter() - begun:.1f} s")
    for name, n in sorted(figures.items()):
        print(f"    {name:32} {n:>12,}")
    return int(figures["differ"] > 0)
