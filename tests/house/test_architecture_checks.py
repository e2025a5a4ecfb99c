"""The architecture test can fail: each kind of breach is planted into the package and reported."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache

import pytest

from tests.house import checks, plan
from tests.house.package import Package, parsed, planted

Check = Callable[[Package], list[str]]
RECEIVER = parsed()
DOCUMENTED = '"""Something."""\n'
LONG = "def far() -> None:\n" + "    pass\n" * 61
WIDE = "class Wide(Protocol):\n" + "".join(f"    def m{n}(self): ...\n" for n in range(13))


@cache
def known(check: Check) -> frozenset[str]:
    """What is reported of the package as it stands."""
    return frozenset(check(RECEIVER))


# A check, the module that gets a text (a new one, if there is none), the text, what is reported.
BREACHES: list[tuple[Check, str, str, str]] = [
    (checks.unplanned_places, "helpers_of_all", DOCUMENTED, "helpers_of_all stands in no room"),
    (checks.unplanned_places, "pages.views", DOCUMENTED, "pages is no room of the plan"),
    (checks.map_differences, "__init__", "", "the map has the rooms none"),
    (checks.rooms_with_code, "store.__init__", "LIMIT = 1", "store.__init__ is not one"),
    (checks.rooms_with_code, "store.sql.__init__", "import json", "store.sql.__init__ is not"),
    (checks.room_sizes, "web.drawers.views", DOCUMENTED, "web.drawers has 1 modules"),
    (checks.cycles, "events", "from receiver.lifecycle import judge", "events, lifecycle import"),
    (checks.meetings, "dispatch.retry", "import receiver.intake.held", "reaches intake.held"),
    (checks.meetings, "intake.held", "import receiver.dispatch.retry", "reaches dispatch.retry"),
    # Through others, and through the room itself.
    (checks.meetings, "config.rules", "import receiver.dispatch.retry",
     "intake.explain reaches dispatch.retry"),
    (checks.meetings, "errors", "import receiver.intake.held",
     "dispatch.operators reaches intake.held"),
    (checks.bypassed_registries, "cli.send", "from receiver.store.sqlite import connection",
     "cli.send imports store.sqlite.connection past store.opening"),
    (checks.bypassed_registries, "store.committer", "import receiver.store.sqlite.wal",
     "store.committer imports store.sqlite.wal past"),
    (checks.bypassed_registries, "config.rules", "import receiver.sources.formats.plain",
     "config.rules imports sources.formats.plain past"),
    (checks.bypassed_registries, "dispatch.turn", "import receiver.destinations.apprise.probes",
     "dispatch.turn imports destinations.apprise.probes past"),
    (checks.late_imports, "times", "def now():\n    import json", "times.now imports json"),
    (checks.late_imports, "times", "class A:\n    def b(self):\n        if 1:\n"
     "            from receiver import errors", "times.A.b imports receiver"),
    (checks.imports_by_text, "times", "__import__('receiver.web.app')", "times imports by a text"),
    (checks.imports_by_text, "store.committer", "from . import contract",
     "store.committer imports .."),
    (checks.trespasses, "cli.send", "import starlette.requests", "cli.send imports starlette"),
    (checks.trespasses, "messages.notice", "from jinja2 import Template",
     "messages.notice imports jinja2"),
    (checks.trespasses, "store.committer", "import sqlite3", "store.committer imports sqlite3"),
    (checks.trespasses, "config.rules", "import yaml", "config.rules imports yaml"),
    (checks.trespasses, "config.rules", "import attrs", "imports attrs, which has no owner"),
    (checks.impurities, "routing.routes", "import time", "routing.routes uses time"),
    (checks.impurities, "routing.routes", "from datetime import datetime\n"
     "def today(): return datetime.now()", "routing.routes uses now"),
    (checks.impurities, "messages.notice", "import logging", "messages.notice uses logging"),
    (checks.impurities, "sources.keys", "def read(p): return open(p)", "sources.keys uses open"),
    (checks.impurities, "lifecycle", "import random", "lifecycle uses random"),
    (checks.impurities, "metrics", "import socket", "metrics uses socket"),
    (checks.impurities, "sources.keys", "from urllib.request import urlopen", "uses urllib"),
    (checks.impurities, "events", "import threading", "events uses threading"),
    (checks.sizes, "times", "\n" * 300 + "X = 1", "times has "),
    (checks.sizes, "times", LONG, "times.far has 62 lines"),
    (checks.sizes, "store.wide", DOCUMENTED + "\n" * 350 + "X = 1", "store.wide has 352 lines"),
    (checks.protocol_sizes, "store.contract", WIDE, "Wide has 13 methods"),
    (checks.forbidden_names, "store.utils", DOCUMENTED, "store.utils is called so"),
    (checks.forbidden_names, "web.common.text", DOCUMENTED, "web.common.text is called so"),
    (checks.missing_docstrings, "times", "def shift(): pass", "times.shift has no docstring"),
    (checks.missing_docstrings, "web.drawers.views", "import json", "web.drawers.views has no doc"),
    (checks.docstrings_without_verb, "times", 'def f():\n    """What is due."""',
     "times.f: What"),
    (checks.docstrings_without_verb, "times", 'class A:\n    def f():\n        """`The` one."""',
     "times.A.f: `The`"),
    (checks.broad_excepts, "times", "def f():\n    try:\n        f()\n    except Exception:\n"
     "        pass", "times.f catches everything"),
    (checks.broad_excepts, "times", "try:\n    X = 1\nexcept:\n    pass", "times. catches"),
    (checks.broad_excepts, "times", "class A:\n    def f(self):\n        try:\n            f()\n"
     "        except (OSError, BaseException):\n            raise", "times.A.f catches"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "module", "text", "reported"),
    BREACHES,
    ids=[f"{check.__name__}-{module}-{n}" for n, (check, module, _, _) in enumerate(BREACHES)],
)
def test_a_planted_breach_is_reported(check: Check, module: str, text: str, reported: str) -> None:
    package = planted(RECEIVER, module, text) if text else emptied(module)
    new = set(check(package)) - known(check)
    assert [breach for breach in new if reported in breach], new


def emptied(module: str) -> Package:
    """The package with a module that has nothing but a docstring."""
    return {**RECEIVER, module: ast.parse(DOCUMENTED)}


def test_no_check_is_without_a_planted_breach() -> None:
    tested = {check for check, *_ in BREACHES}
    others = {checks.forbidden_imports, checks.shared_private_names}
    assert set(checks.CHECKS) == tested | others


@pytest.mark.parametrize("room", plan.ROOMS)
def test_every_import_that_the_table_has_not_is_reported(room: str) -> None:
    package, wanted = RECEIVER, set()
    module = next(name for name in RECEIVER if checks.room_of(name) == room and name[:2] != "__")
    for other in RECEIVER:
        below = {room, *plan.ROOMS[room]}
        known_here = checks.room_of(other) in below or other in below
        if other.endswith("__init__") or other == "__main__" or known_here:
            continue
        package = planted(package, module, f"import receiver.{other}")
        wanted.add(f"{module} imports {other}")
    assert wanted <= set(checks.forbidden_imports(package))
    assert len(wanted) > 5


def test_only_explaining_may_show_messages() -> None:
    before = known(checks.forbidden_imports)
    text = "import receiver.messages.notice\nimport receiver.destinations.destination"
    for module, breaches in (("intake.explain_text", 0), ("intake.held", 2)):
        package = planted(RECEIVER, module, DOCUMENTED + text)
        assert len(set(checks.forbidden_imports(package)) - before) == breaches
    package = planted(RECEIVER, "intake.explain_text", "import receiver.destinations.sending")
    assert set(checks.forbidden_imports(package)) - before


def test_a_room_that_grows_or_shrinks_is_reported() -> None:
    grown = RECEIVER
    for number in range(12):
        grown = planted(grown, f"routing.part_{number}", DOCUMENTED)
    assert [line for line in checks.room_sizes(grown) if line.startswith("routing has ")]
    deep = RECEIVER
    for number in range(20):
        deep = planted(deep, f"store.sql.part_{number}", DOCUMENTED)
    (report,) = set(checks.room_sizes(deep)) - known(checks.room_sizes)
    assert report.startswith("store.sql has ")
    shrunk = {name: tree for name, tree in RECEIVER.items() if checks.room_of(name) != "sources"}
    assert "the room sources is missing" in checks.unplanned_places(shrunk)
    lacking = {name: tree for name, tree in RECEIVER.items() if name != "times"}
    assert "times is missing in the hall" in checks.unplanned_places(lacking)


def test_a_ring_through_several_rooms_is_reported() -> None:
    package = planted(RECEIVER, "routing.routes", "import receiver.web.app")
    new = set(checks.cycles(package)) - known(checks.cycles)
    assert any("routing.routes" in ring and "web.app" in ring for ring in new)


def test_a_private_name_in_a_third_module_is_reported() -> None:
    package = RECEIVER
    for module in ("times", "events", "logs"):
        package = planted(package, module, "def _planted(): pass")
    assert "_planted stands in events, logs, times" in checks.shared_private_names(package)


def test_an_exception_that_nothing_needs_any_more_is_reported() -> None:
    listed = {module for module, _ in (*plan.BROAD_EXCEPTS, *plan.LATE_IMPORTS)}
    package = {**RECEIVER, **{module: ast.parse(DOCUMENTED) for module in listed}}
    assert set(checks.broad_excepts(package)) == {
        f"{module}.{function} catches everything no longer"
        for module, function in plan.BROAD_EXCEPTS
    }
    assert set(checks.late_imports(package)) == {
        f"{module} imports no {library} inside" for module, library in plan.LATE_IMPORTS
    }


def test_every_exception_to_purity_is_needed() -> None:
    for module, thing in plan.IMPURE_EXCEPTIONS:
        used = checks.impure_things(RECEIVER[module])
        assert used if thing == "*" else thing in used
