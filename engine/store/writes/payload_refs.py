"""Whose large values are still needed: for whoever removes those of executions that are gone."""

from __future__ import annotations

from sqlalchemy import Connection, select

from engine.io.payloads import MARK, reference
from engine.store.tables import REUSED, StepRun, literally, table

_RUNS = table(StepRun)


def taken_over(connection: Connection) -> set[str]:
    """Return the executions whose large values step runs of others took over."""
    found: set[str] = set()
    for name in ("input", "output", "value"):
        column = _RUNS.c[name]
        large = select(column).where(
            literally("step_runs", REUSED), column.startswith(MARK, autoescape=True)
        )
        for text in connection.execute(large).scalars():
            known = reference(text)
            assert known is not None
            found.add(known.key.partition("/")[0])
    return found
