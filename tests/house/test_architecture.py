"""The house: floors, owners of libraries, sizes. Read from the code itself."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "receiver"

# From the lowest floor to the highest. A module imports from floors below its own, and on its own
# floor only from modules named before it.
FLOORS = [
    ["errors", "times", "events", "deliveries"],
    ["lifecycle", "routing.quiet_hours", "routing.conditions", "sources.strict_json", "sources.formats.fields", "sources.formats.asteroid", "sources.formats.plain", "routing.routes", "routing.policy", "destinations.destination", "retention", "intake.rate_limit", "sources.keys", "sources.verification",  # noqa: E501
     "sources.formats.registry", "routing.silences",
     "dispatch.dead_letters", "messages.sanitize", "messages.templates", "messages.notice",
      "messages.follow_ups", "messages.digests", "intake.explain_follow_ups",
     "sources.signing", "destinations.outcome", "destinations.redaction"],
    ["metrics", "config.settings", "config.strict_yaml", "config.schema",
     "config.problems", "config.matching",
     "config.silence_request", "config.route_builder", "sources.source", "config.rules",
      "config.routes_file", "config.exposure",
     "destinations.apprise.recorder", "destinations.apprise.sessions",
      "destinations.apprise.probes", "destinations.deadline", "destinations.sending",
      "logs",
     "store.records", "dispatch.retry", "store.contract", "store.committer", "store.sqlite.wal",
     "store.sql.database", "store.sql.rows", "store.sql.loading", "store.sql.reads",
     "store.sql.facts", "store.sql.outbox", "store.sql.episodes", "store.sql.silences",
     "store.sql.digests", "store.sql.claims", "store.sql.pruning", "store.sql.ledger",
     "store.sql.views", "store.sql.reading", "store.sql.transaction", "store.sqlite.many_rows",
     "store.sqlite.connection", "store.sqlite.schema", "store.sqlite.store", "store.opening"],
    ["intake.subscription_hints", "intake.held", "intake.plan", "intake.receive",
     "config.live_rules", "intake.expiry", "store.pruning",
     "intake.explain", "dispatch.turn",
     "dispatch.worker",
     "dispatch.dispatcher", "dispatch.operators", "cli.client"],
    ["web", "web.json_views", "web.problem", "web.webhooks.refusals", "web.webhooks.access_log",
     "web.webhooks.batch", "web.webhooks.endpoint",
     "web.api", "web.metrics", "web.schemas", "web.openapi", "web.app",
      "web.server.transport", "web.server.connection_h11",
     "web.server.connection_httptools", "web.server.server", "cli.demo", "cli.listing",
      "cli.inspect", "cli.operate", "cli.send",
     "cli.serve", "cli.main", "__main__"],
]  # fmt: skip
OWNERS = {
    "apprise": {"destinations.sending"},
    "sqlite_utils": {"store.sqlite.schema"},
    "sqlite3": {"store.sqlite.store", "store.sqlite.connection", "store.sqlite.schema",
                "store.sqlite.many_rows", "store.sqlite.wal"},
    "psycopg": {"store.postgres"},
    "yaml": {"config.strict_yaml"},
    "pydantic_settings": {"config.settings"},
    "starlette": {"web.app", "web.server.server", "web.problem", "web.webhooks.endpoint",
     "web.api", "web.metrics",
                  "web.openapi"},
    "uvicorn": {"web.server.server", "web.server.connection_h11",
     "web.server.connection_httptools"},
    "h11": {"web.server.connection_h11"},
    "httptools": {"web.server.connection_httptools"},
    "jinja2": {"messages.templates"},
    "cryptography": {"sources.keys", "sources.verification", "sources.signing"},
    "click": {"cli.main", "cli.listing", "cli.inspect", "cli.operate", "cli.send",
     "cli.serve", "cli.demo"},
}  # fmt: skip
# Rules are pure: no clock, disk, network or log.
IMPURE = {"time", "datetime", "os", "pathlib", "socket", "logging", "random", "threading",
          "asyncio", "sqlite3", "urllib", "http", "subprocess"}  # fmt: skip
ALLOWED_IN_RULES = {("sources.verification", "os")}
INSIDE_FUNCTIONS = {
    ("destinations.sending", "apprise"),
    ("destinations.sending", "requests"),
    ("web.server.server", "receiver"),
}


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if (
            path.name == "__init__.py"
            and name != "__init__"
            and len(ast.parse(path.read_text("utf-8")).body) == 1
        ):
            continue  # a room's docstring
        found[name.removesuffix(".__init__") or "__init__"] = ast.parse(path.read_text("utf-8"))
    return found


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(tree: ast.AST, known: set[str]) -> set[str]:
    found = set()
    for name in imported(tree):
        if not name.startswith("receiver."):
            continue
        parts = name.removeprefix("receiver.").split(".")
        for end in range(len(parts), 0, -1):
            if ".".join(parts[:end]) in known:
                found.add(".".join(parts[:end]))
                break
    return found


def test_every_module_stands_on_a_floor() -> None:
    named = {name for floor in FLOORS for name in floor}
    assert set(modules()) - {"__init__"} == named & set(modules())


def test_imports_go_down_only() -> None:
    order = [name for floor in FLOORS for name in floor]
    trees = modules()
    upward = [
        f"{name} imports {other}"
        for name, tree in trees.items()
        if name in order
        for other in ours(tree, set(trees))
        if order.index(other) >= order.index(name)
    ]
    assert upward == []


def test_each_library_has_one_owner() -> None:
    trespasses = [
        f"{name} imports {library}"
        for name, tree in modules().items()
        for library in {found.split(".")[0] for found in imported(tree)}
        if library in OWNERS and name not in OWNERS[library]
    ]
    assert trespasses == []


def test_rules_have_no_clock_disk_net_or_log() -> None:
    trees = modules()
    impure = [
        f"{name} imports {library}"
        for name in FLOORS[1]
        if name in trees
        for library in {found.split(".")[0] for found in imported(trees[name])}
        if library in IMPURE
        and (name, library) not in ALLOWED_IN_RULES
        # Dates are values; only asking for the current one is a clock.
        and not (library == "datetime" and "now" not in ast.dump(trees[name]))
    ]
    # `urllib.parse` only reads text.
    assert [line for line in impure if not line.endswith("imports urllib")] == []


def test_imports_stand_at_the_top() -> None:
    hidden = []
    for name, tree in modules().items():
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for library in {found.split(".")[0] for found in imported(function)}:
                    if (name, library) not in INSIDE_FUNCTIONS:
                        hidden.append(f"{name}.{function.name} imports {library}")
    assert hidden == []


def test_modules_and_functions_keep_their_size() -> None:
    too_large = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        ceiling = 450 if "store" in path.relative_to(PACKAGE).parts else 300
        if text.count("\n") > ceiling:
            too_large.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > 60:
                    too_large.append(f"{path.name} {node.name}: {lines} lines")
    assert too_large == []


def test_public_things_have_a_docstring() -> None:
    bare = [
        f"{name}.{node.name}"
        for name, tree in modules().items()
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert bare == []
    assert [name for name, tree in modules().items() if ast.get_docstring(tree) is None] == []
