"""Statements in one text of SQL for all engines, and a dialect for each engine.

A statement uses `:name` parameters and a few words in braces, which a dialect fills in:

* `{lock}`, at the end of a SELECT: nobody else changes its rows before the transaction ends;
* `{share}`, at the same place: nobody changes them, but others may hold them, too;
* `{turn}`: whether this transaction has the turn of `:destination` now, alone until it ends;
* `{part}`: the part of a counter that this process counts in, as a condition;
* `{now}`: the clock that counts for leases;
* `{texts:name}`, `{numbers:name}`: the values of a list parameter, as a subquery;
* `{position}`: the function that returns the place of a part in a text, from 1, or 0.

Every statement is registered under its name, so that a test plans each of them on every engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

Row = tuple[Any, ...]
Values = Mapping[str, Any]
_NOTHING: Values = {}


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement in neutral SQL, under the name by which tests and errors know it."""

    name: str
    text: str


STATEMENTS: dict[str, Statement] = {}


def statement(name: str, text: str) -> Statement:
    """Register a statement; ValueError if its name is taken."""
    if name in STATEMENTS:
        raise ValueError(f"there are two statements called {name}")
    STATEMENTS[name] = made = Statement(name, text)
    return made


def variants(name: str, text: str, conditions: Mapping[str, str]) -> dict[str, Statement]:
    """Register the statement once for each condition that may stand for `{where}` in it."""
    return {
        key: statement(f"{name}_{key}", text.replace("{where}", condition))
        for key, condition in conditions.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """The spelling of one engine, for the words in braces above.

    `texts` and `numbers` have a `{}` for the name of the parameter; `as_list` makes its value.
    `lock` is empty where one transaction at a time writes. `now` may use the parameter `:now`,
    which holds the caller's clock. `snapshot` begins a transaction that only reads and sees one
    state throughout; it is empty where every read does. `spell` turns `:name` into the parameters
    of the engine's driver.
    """

    name: str
    texts: str
    numbers: str
    as_list: Callable[[Sequence[Any]], Any]
    lock: str
    share: str
    turn: str
    part: str
    now: str
    position: str
    snapshot: str
    spell: Callable[[str], str] = str
    _spelled: dict[Statement, str] = field(default_factory=dict, init=False, repr=False)

    def text(self, statement: Statement) -> str:
        """Return the statement in the spelling of this engine."""
        try:
            return self._spelled[statement]
        except KeyError:
            text = self._spelled[statement] = self.spell(_WORD.sub(self._word, statement.text))
            return text

    def _word(self, match: re.Match[str]) -> str:
        word, parameter = match.groups()
        text: str = getattr(self, word)
        return text.format(f":{parameter}") if parameter else text


_WORD = re.compile(r"\{(lock|share|turn|part|now|texts|numbers|position)(?::([a-z_]+))?\}")


class Cursor(Protocol):
    """The part of a driver's cursor that is used here."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """The part of a driver's connection that is used here."""

    def execute(self, sql: str, values: Any = ..., /) -> Cursor: ...


class Bulk(Protocol):
    """The hot path's statements about many rows at once, in the fastest form of an engine.

    Columns are those of the module `rows`. A result may hold the same row more than once.
    """

    def later(self, text: str, values: Any, /) -> object:
        """Execute a statement without a result, at the latest together with the next one."""

    def new_events(self, n: int) -> Sequence[int]:
        """Reserve the next `n` numbers for events."""

    def hold(self, events: Sequence[Row], executions: Sequence[Row]) -> None:
        """Let nobody else judge events (source, event_id) or executions before this one ends."""

    def new_executions(self, n: int) -> Sequence[int]:
        """Reserve the next `n` numbers for executions."""

    def stored_event_ids(self, keys: Sequence[Row]) -> list[Row]:
        """Find the stored ones of these events (source, event_id), without quarantined ones."""

    def stored_changes(self, keys: Sequence[Row]) -> list[Row]:
        """Find the stored ones of these changes: `records.Change`, with the status as text."""

    def stored_executions(self, keys: Sequence[Row], *, lock: bool) -> list[Row]:
        """Find executions (source, execution_id): `rows.STORED_COLUMNS`.

        With `lock` nobody else changes them before the transaction ends; they are locked in the
        order of their numbers.
        """

    def execution_numbers(self, keys: Sequence[Row]) -> list[Row]:
        """Find (source, execution_id, id) of stored executions."""

    def add_events(self, rows: Sequence[Row]) -> None:
        """Insert events; all repeats of an id share one more row, which counts them."""

    def add_executions(self, rows: Sequence[Row]) -> None:
        """Insert executions."""

    def move_executions(self, rows: Sequence[Row]) -> int:
        """Change executions whose version is still the expected one; return how many."""

    def add_history(self, rows: Sequence[Row]) -> None:
        """Insert the steps of executions."""

    def add_deliveries(self, rows: Sequence[Row]) -> None:
        """Insert deliveries; one that is owed already is an error."""


class News:
    """Destinations of deliveries that became due, from the commit until the listener is told.

    An engine gathers them at each commit, and tells of them once the answers are given.
    """

    def __init__(self) -> None:
        self.listener: Callable[[Collection[str] | None], None] = lambda destinations: None
        self._due: set[str] = set()

    def gather(self, due: Collection[str]) -> None:
        """Add destinations after a commit."""
        self._due.update(due)

    def tell(self) -> bool:
        """Tell the listener; return whether there was anything to tell."""
        due, self._due = self._due, set()
        if due:
            self.listener(due)
        return bool(due)


class Database:
    """A connection of an engine, its dialect, and its statements about many rows.

    `due` are the destinations of deliveries that became due in the present transaction.
    """

    def __init__(self, connection: Connection, dialect: Dialect, bulk: Bulk) -> None:
        self.connection = connection
        self.bulk = bulk
        self.due: set[str] = set()
        self._dialect = dialect
        self._execute = connection.execute
        self._names: dict[Statement, list[str]] = {}  # of columns, by statement

    def rows(self, statement: Statement, values: Values = _NOTHING) -> list[Row]:
        """Return all rows of the result."""
        return self._execute(self._dialect.text(statement), values).fetchall()

    def row(self, statement: Statement, values: Values = _NOTHING) -> Row | None:
        """Return the first row, or None."""
        rows = self.rows(statement, values)
        return rows[0] if rows else None

    def value(self, statement: Statement, values: Values = _NOTHING) -> Any:
        """Return the only value of the first row; None without a row."""
        rows = self.rows(statement, values)
        return rows[0][0] if rows else None

    def records(self, statement: Statement, values: Values = _NOTHING) -> list[dict[str, Any]]:
        """Return all rows as mappings from the names of their columns."""
        cursor = self._execute(self._dialect.text(statement), values)
        if (names := self._names.get(statement)) is None:
            names = self._names[statement] = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def change(self, statement: Statement, values: Values = _NOTHING) -> int:
        """Change rows; return how many."""
        return self._execute(self._dialect.text(statement), values).rowcount

    def change_later(self, statement: Statement, values: Values = _NOTHING) -> None:
        """Change rows, at the latest together with the next statement: a way over the network less.

        An error comes with that one, or with the commit.
        """
        self.bulk.later(self._dialect.text(statement), values)

    def hold(self, statement: Statement, values: Values = _NOTHING) -> bool:
        """Return whether the locks of a statement are ours; true where nobody else writes."""
        if not self._dialect.lock:
            return True
        rows = self.rows(statement, values)
        return bool(rows) and bool(rows[0][0])

    def as_list(self, values: Sequence[Any]) -> Any:
        """Return the value of a list parameter."""
        return self._dialect.as_list(values)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see one state of the database. Call it outside a transaction."""
        if not self._dialect.snapshot:
            yield
            return
        self._execute(self._dialect.snapshot)
        try:
            yield
        finally:
            self._execute("COMMIT")
