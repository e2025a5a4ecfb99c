"""The house: rooms, imports, owners of libraries, names, sizes. Read from the code itself.

`plan` holds the plan as data, `checks` its checks, `test_architecture_checks` shows that each of
them turns red.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from graphlib import TopologicalSorter
from typing import Any, get_args

import pytest

from receiver.config.problems import keys_of
from receiver.config.schema import Match, SourceModel, Verify
from receiver.destinations import sending
from receiver.routing.conditions import CONDITIONS
from receiver.sources import verification
from receiver.sources.formats import registry
from tests.house import checks, plan
from tests.house.package import Package, parsed
from tests.support.readme_parts import topic

RECEIVER = parsed()
# The law has a test of its own.
OTHERS = [check for check in checks.CHECKS if check is not checks.meetings]


def test_intake_and_dispatch_meet_only_in_the_store() -> None:
    assert checks.meetings(RECEIVER) == []


@pytest.mark.parametrize("check", OTHERS, ids=lambda check: check.__name__)
def test_the_house_stands_as_planned(check: Callable[[Package], list[str]]) -> None:
    assert check(RECEIVER) == []


def test_the_plan_itself_has_no_circle() -> None:
    rooms = {room: {name.split(".")[0] for name in others} for room, others in plan.ROOMS.items()}
    order = list(TopologicalSorter(rooms).static_order())
    assert set(order) == set(plan.ROOMS)
    # Nor does the order in which the map names them go up.
    named = list(plan.ROOMS)
    assert all(named.index(o) < named.index(room) for room in named for o in rooms[room])


def literal(annotation: Any) -> set[str]:
    """The words that a key of routes.yaml may have."""
    return set(get_args(annotation))


def rows(key: str) -> str:
    """The lines about a key and the keys below it in the reference."""
    lines = (topic("sources") + topic("routes")).splitlines()
    return "\n".join(line for line in lines if line.startswith((f"| `{key}` |", f"| `{key}.")))


@pytest.mark.parametrize(
    ("registered", "in_schema", "key"),
    [
        (registry.FORMATS, literal(SourceModel.model_fields["format"].annotation), "format"),
        (
            verification.SCHEMES,
            literal(Verify.model_fields["scheme"].annotation),
            "verify.scheme",
        ),
        (CONDITIONS, set(keys_of(Match)), "match"),
    ],
    ids=["formats", "schemes", "conditions"],
)  # fmt: skip
def test_a_registry_the_schema_and_the_reference_name_the_same(
    registered: Collection[str], in_schema: set[str], key: str
) -> None:
    assert set(registered) == in_schema
    named = set(re.findall(r"[a-z0-9_-]+", " ".join(re.findall(r"`([^`]+)`", rows(key)))))
    assert set(registered) <= named


def test_the_reference_names_every_kind_of_destination_of_ours() -> None:
    assert [kind for kind in sending.KINDS if f"`{kind}://`" not in topic("destinations")] == []
