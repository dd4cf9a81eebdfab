"""Statements of the hot path: built once, then handed to the driver as they are.

A statement is still written with SQLAlchemy, so that both databases get their own dialect of it
and a column's name stands in one place. But it is compiled once, and run without SQLAlchemy's
execution: in a profile of a chain on SQLite that took four times as long as SQLite itself.
What the driver raises comes as the driver's error; ``database`` knows both kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import Executable

Row = tuple[Any, ...]
Bind = Callable[[Mapping[str, Any]], Any]


class Prepared:
    """One statement, compiled at its first use on each dialect."""

    def __init__(self, statement: Executable | Mapping[str, Executable]) -> None:
        """Take one statement for both dialects, or one for each by the dialect's name."""
        self._statement: Any = statement
        self._compiled: dict[str, tuple[str, Bind]] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Row]:
        """Run it and return the rows it gives, in the order of its columns."""
        text, bind = self._for(connection)
        found: list[Row] = _cursor(connection).execute(text, bind(values)).fetchall()
        return found

    def row(self, connection: Connection, values: Mapping[str, Any]) -> Row | None:
        """Run it and return its one row, or None."""
        found = self.rows(connection, values)
        return found[0] if found else None

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Run it for what it changes."""
        text, bind = self._for(connection)
        _cursor(connection).execute(text, bind(values))

    def run_each(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run it once for each of ``rows``."""
        text, bind = self._for(connection)
        _cursor(connection).executemany(text, [bind(values) for values in rows])

    def _for(self, connection: Connection) -> tuple[str, Bind]:
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            one = self._statement
            statement = one[dialect.name] if isinstance(one, Mapping) else one
            found = self._compiled[dialect.name] = _compile(statement, dialect)
        return found


def insert_unless_there(table: Any, columns: Iterable[str], *returning: Any) -> Prepared:
    """Return an INSERT of these columns that a row with the same key turns into nothing."""
    values: dict[str, Any] = {name: bindparam(name) for name in columns}
    inserts: dict[str, Any] = {
        "sqlite": sqlite.insert(table).values(values).on_conflict_do_nothing(),
        "postgresql": postgresql.insert(table).values(values).on_conflict_do_nothing(),
    }
    if returning:
        return Prepared({name: one.returning(*returning) for name, one in inserts.items()})
    return Prepared(inserts)


def insert_many(table: Any, columns: Iterable[str], count: int) -> Any:
    """Return an INSERT of ``count`` rows at once, whose values ``numbered`` names."""
    rows: list[dict[str, Any]] = [
        {name: bindparam(f"{name}_{number}") for name in columns} for number in range(count)
    ]
    return insert(table).values(rows)


def numbered(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of rows under the names by which ``insert_many`` knows them."""
    return {f"{name}_{at}": value for at, row in enumerate(rows) for name, value in row.items()}


def driver(connection: Connection) -> Any:
    """Return the driver's own connection: ``sqlite3``'s or psycopg's."""
    return connection.connection.dbapi_connection


def _cursor(connection: Connection) -> Any:
    """Return a cursor that takes statements as ``_compile`` writes them."""
    raw = driver(connection)
    if connection.dialect.name != "postgresql":
        return raw.cursor()
    # Here and not above: a process imports the driver of its own database only.
    from psycopg import RawCursor  # noqa: PLC0415

    return RawCursor(raw)


def _compile(statement: Any, dialect: Any) -> tuple[str, Bind]:
    if dialect.name == "postgresql":
        # The server's own placeholders. Of a long statement with names psycopg keeps no
        # translation: looking for them took it four times as long as all else it did.
        dialect = type(dialect)(paramstyle="numeric_dollar")
    compiled = statement.compile(dialect=dialect)
    constants = {
        name: bind.effective_value
        for bind, name in compiled.bind_names.items()
        if not bind.required
    }
    names = compiled.positiontup
    if not names:
        return compiled.string, lambda _values: ()
    pick = itemgetter(*names)
    if len(names) == 1:
        return compiled.string, lambda values: (pick({**constants, **values}),)
    return compiled.string, lambda values: pick({**constants, **values})
