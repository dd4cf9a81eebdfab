"""What the database does for each statement of a piece of work, by its own account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from engine.store.db.compiled import Bind, Prepared
from engine.store.db.database import Database

BIG = frozenset({"executions", "step_runs", "events", "attempts", "logs"})
PAGES_A_ROW = 4  # at most: of the index on the way to it, and its own
_ABOUT = re.compile(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_NUMBERED = re.compile(r"\$\d+")
_SCAN = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")


@dataclass(slots=True)
class Asked:
    """Statements, each once, with the parameters of its first time."""

    statements: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded() -> Iterator[Asked]:
    """Yield what is asked of any database while the block runs, by SQLAlchemy or prepared."""
    asked = Asked()

    def keep(sql: str, given: Any) -> None:
        if _ABOUT.match(sql):
            asked.statements.setdefault(sql, given)

    def executed(
        _connection: Any, _cursor: Any, sql: str, given: Any, _context: Any, many: bool
    ) -> None:
        keep(sql, given[0] if many else given)

    compiled = Prepared._for

    def prepared(statement: Prepared, connection: Connection) -> tuple[str, Bind]:
        sql, bind = compiled(statement, connection)

        def bound(values: Mapping[str, Any]) -> Any:
            given = bind(values)
            keep(_NUMBERED.sub("%s", sql), given)  # as EXPLAIN's own driver call wants it
            return given

        return sql, bound

    event.listen(Engine, "before_cursor_execute", executed)
    with patch.object(Prepared, "_for", prepared):
        try:
            yield asked
        finally:
            event.remove(Engine, "before_cursor_execute", executed)


def faults(database: Database, asked: Asked, *, rows: int) -> list[str]:
    """Return what of it reads a large table from end to end, or more than ``rows`` rows.

    Of an index that holds only what is rare (a partial one) all may be read. SQLite does not say
    how many rows a statement would read: there the plan alone is judged.
    """
    look = _of_sqlite if database.dialect == "sqlite" else _of_postgres
    return [
        f"{fault}\n    {' '.join(sql.split())}"
        for sql, given in asked.statements.items()
        for fault in look(database, sql, given, rows)
    ]


def _of_sqlite(database: Database, sql: str, given: Any, _rows: int) -> Iterator[str]:
    def explain(connection: Connection) -> list[str]:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)]

    partial = _partial_indexes(database)
    for line in database.read(explain):
        scan = _SCAN.match(line)
        if scan and scan[1] in BIG and scan[2] not in partial:
            yield line


def _partial_indexes(database: Database) -> set[str]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'"
    return set(database.read(lambda connection: connection.exec_driver_sql(sql).scalars().all()))


def _of_postgres(database: Database, sql: str, given: Any, rows: int) -> Iterator[str]:
    # Only what reads is carried out: ANALYZE would make a change as well.
    reads = sql.lstrip().upper().startswith("SELECT")

    def explain(connection: Connection) -> Any:
        options = "FORMAT JSON, ANALYZE, BUFFERS, TIMING OFF" if reads else "FORMAT JSON"
        return connection.exec_driver_sql(f"EXPLAIN ({options}) {sql}", given).scalar_one()

    plan = database.read(explain)[0]["Plan"]
    pages = plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0)
    if pages > rows * PAGES_A_ROW:
        yield f"{pages} pages"
    for node in _nodes(plan):
        where = node.get("Index Name") or node.get("Relation Name", "")
        told = f"{node['Node Type']} {where}"
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG:
            yield told
        passed = node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)
        number = passed * node.get("Actual Loops", 1)
        if "Scan" in node["Node Type"] and number > rows:
            yield f"{told} reads {number} rows"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def steps_of(database: Database, work: Callable[[Connection], object]) -> int:
    """Return how many hundreds of steps SQLite's machine makes for ``work``: what it costs,
    whatever else the processor does."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    def counted(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(step, 100)
        try:
            work(connection)
        finally:
            driver.set_progress_handler(None, 0)

    database.read(counted)
    return count
