"""Executions that someone must look at although no message comes for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text, update

from engine.core.status import ExecutionStatus, Phase
from engine.store.tables import DEADLINE, OPEN_EXECUTION, Execution, table

_EXECUTIONS = table(Execution)


@dataclass(frozen=True, slots=True)
class DueExecution:
    """An open execution that someone must look at."""

    id: str
    status: ExecutionStatus
    ending: bool
    interrupting: bool


def undispatched(connection: Connection, before: int, limit: int) -> list[str]:
    """Return executions whose dispatch was due before ``before``, the oldest first."""
    return list(
        connection.execute(
            select(_EXECUTIONS.c.id)
            .where(
                _EXECUTIONS.c.due_at < before,
                # As literal text: SQLite uses a partial index only where its own words stand.
                text(OPEN_EXECUTION),
                _EXECUTIONS.c.status == ExecutionStatus.PENDING.value,
                _EXECUTIONS.c.ending.is_(None),
            )
            .order_by(_EXECUTIONS.c.due_at)
            .limit(limit)
        ).scalars()
    )


def overdue(
    connection: Connection, now: int, limit: int, but: Collection[str] = ()
) -> list[DueExecution]:
    """Return executions that should have ended or been completed by now, none of ``but``.

    Pending ones are left out: a backlog of them must not hide these. Paused ones wait.
    """
    rows = connection.execute(
        select(*(_EXECUTIONS.c[name] for name in ("id", "status", "ending", "interrupting")))
        .where(
            _EXECUTIONS.c.due_at <= now,
            text(OPEN_EXECUTION),
            _EXECUTIONS.c.status.not_in(
                [ExecutionStatus.PENDING.value, ExecutionStatus.PAUSED.value]
            ),
            *_but(but),
        )
        .order_by(_EXECUTIONS.c.due_at)
        .limit(limit)
    )
    return [
        DueExecution(row.id, ExecutionStatus(row.status), row.ending is not None, row.interrupting)
        for row in rows
    ]


def _but(executions: Collection[str]) -> list[Any]:
    return [_EXECUTIONS.c.id.not_in(executions)] if executions else []


def late(connection: Connection, now: int, limit: int, but: Collection[str] = ()) -> list[str]:
    """Return executions that should have ended by their deadline and were not told to.

    None of ``but`` is among them.
    """
    return list(
        connection.execute(
            select(_EXECUTIONS.c.id)
            .where(
                _EXECUTIONS.c.deadline_at <= now,
                text(DEADLINE),
                _EXECUTIONS.c.ending.is_(None),
                # Steps that run at the end have the time that they say themselves.
                _EXECUTIONS.c.phase == Phase.STEPS.value,
                *_but(but),
            )
            .order_by(_EXECUTIONS.c.deadline_at)
            .limit(limit)
        ).scalars()
    )


def postpone(connection: Connection, ids: Sequence[str], due_at: int) -> list[str]:
    """Look at these open executions again at ``due_at``.

    Returns those it put off: rows that another transaction holds are left out, for it may stand
    still, and all others would wait for it.
    """
    if not ids:
        return []
    free = select(_EXECUTIONS.c.id).where(
        _EXECUTIONS.c.id.in_(ids), _EXECUTIONS.c.due_at.is_not(None), text(OPEN_EXECUTION)
    )
    locked = set(connection.execute(free.with_for_update(skip_locked=True)).scalars())
    if locked:
        connection.execute(
            update(_EXECUTIONS).where(_EXECUTIONS.c.id.in_(locked)).values(due_at=due_at)
        )
    return [execution_id for execution_id in ids if execution_id in locked]
