"""Step runs that need rescue: whose worker is gone, whose time is over, whose message was lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, or_, select, tuple_, update

from engine.core.status import ExecutionStatus, Reason, StepStatus
from engine.store.tables import (
    CRASHED,
    EXPIRING,
    LIVE_STEP,
    Execution,
    StepRun,
    Worker,
    literally,
    table,
)
from engine.store.writes.step_runs import RunRow, as_run, run_columns

_RUNS = table(StepRun)
_WORKERS = table(Worker)
_EXECUTIONS = table(Execution)

_LIVE = literally("step_runs", LIVE_STEP)
_EXPIRING = literally("step_runs", EXPIRING)
_CRASHED = literally("step_runs", CRASHED)
_RUNNING = literally("step_runs", "status = 'running'")
_NOT_PAUSED = _EXECUTIONS.c.status != ExecutionStatus.PAUSED.value


def abandoned(
    connection: Connection, *, dead_before: int | None, limit: int, but: Collection[str] = ()
) -> list[RunRow]:
    """Return claimed step runs whose worker is gone.

    Args:
        connection: to read with.
        dead_before: µs; a worker whose last beat is older is dead. None: only those that are
            known to have stopped.
        limit: rows at most.
        but: not of these executions. Else as many of them as the limit would hide all others.
    """
    gone: list[ColumnElement[bool]] = [_WORKERS.c.id.is_(None), _WORKERS.c.stopped_at.is_not(None)]
    if dead_before is not None:
        gone.append(_WORKERS.c.beat_at < dead_before)
    rows = connection.execute(
        select(*run_columns())
        .join(_WORKERS, _WORKERS.c.id == _RUNS.c.worker_id, isouter=True)
        .where(
            _RUNNING,
            _RUNS.c.worker_id.is_not(None),
            _RUNS.c["items"].is_(None),
            or_(*gone),
            *_but(but),
        )
        # In no order: for that of the table SQLite would read all of it.
        .limit(limit)
    )
    runs = [as_run(row) for row in rows]
    return sorted(runs, key=lambda run: (run.execution_id, run.step, run.item))


def _but(executions: Collection[str]) -> list[Any]:
    return [_RUNS.c.execution_id.not_in(executions)] if executions else []


def due(
    connection: Connection,
    statuses: Iterable[StepStatus],
    before: int,
    limit: int,
    but: Collection[str] = (),
) -> list[RunRow]:
    """Return parked step runs in one of ``statuses`` due before ``before``, oldest first.

    Those of paused executions wait until they are resumed; those of the executions ``but`` are
    left out.
    """
    rows = connection.execute(
        select(*run_columns())
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .where(
            _LIVE,
            _NOT_PAUSED,
            _RUNS.c.due_at < before,
            _RUNS.c.status.in_([status.value for status in statuses]),
            *_but(but),
        )
        .order_by(_RUNS.c.due_at)
        .limit(limit)
    )
    return [as_run(row) for row in rows]


def overrun(
    connection: Connection, before: int, limit: int, but: Collection[str] = ()
) -> list[RunRow]:
    """Return claimed step runs whose deadline passed before ``before`` while their worker lived.

    Those of the executions ``but`` are left out. A worker that fell silent before the
    deadline proves nothing about the step's code: after an outage that was longer than the timeout
    its claims are abandoned, not overdue.
    """
    rows = connection.execute(
        select(*run_columns())
        .join(_WORKERS, _WORKERS.c.id == _RUNS.c.worker_id)
        .where(
            _RUNNING,
            _RUNS.c.due_at < before,
            _WORKERS.c.beat_at >= _RUNS.c.due_at,
            *_but(but),
        )
        .order_by(_RUNS.c.due_at)
        .limit(limit)
    )
    return [as_run(row) for row in rows]


# Queued step runs with these reasons are sent by their own rules, not as lost messages.
_SENT_BY_OTHERS = [Reason.UNKNOWN_STEP.value, Reason.WORKER_CRASHED.value]


def expired(
    connection: Connection, now: int, limit: int, but: Collection[str] = ()
) -> list[RunRow]:
    """Return step runs that were queued for longer than they may be, but paused ones.

    Those of the executions ``but`` are left out.
    """
    rows = connection.execute(
        select(*run_columns())
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .where(_EXPIRING, _NOT_PAUSED, _RUNS.c.queued_at + _RUNS.c.expires_in < now, *_but(but))
        .order_by(_RUNS.c.queued_at)
        .limit(limit)
    )
    return [as_run(row) for row in rows]


def last_chance(
    connection: Connection, crashes: int, queues: Collection[str], *, since: int, sent_before: int
) -> RunRow | None:
    """Return the queued step run whose turn it is of those that lost their worker so often.

    They take turns: the one whose message was due, or was sent, longest ago is next. None while
    one of them runs, or was sent and may be claimed any moment.

    Args:
        connection: to read with.
        crashes: how often they lost their worker at least.
        queues: those that a live worker serves: nobody would claim what waits in others.
        since: µs; one that has run for longer is trusted.
        sent_before: µs; a message sent earlier that nobody has claimed holds the others up no more.
    """
    queued = (
        (_RUNS.c.status == StepStatus.QUEUED.value)
        & (_RUNS.c.reason == Reason.WORKER_CRASHED.value)
        & _RUNS.c.queue.in_(sorted(queues))
        & _NOT_PAUSED
    )
    running = (_RUNS.c.status == StepStatus.RUNNING.value) & (_RUNS.c.started_at > since)
    under_way = case((running | (queued & (_RUNS.c.due_at >= sent_before)), 1), else_=0)
    row = connection.execute(
        select(*run_columns(), under_way)
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .where(_CRASHED, _RUNS.c.crashes >= crashes, queued | running)
        .order_by(
            under_way.desc(),
            func.coalesce(_RUNS.c.due_at, _RUNS.c.queued_at),
            *(_RUNS.c[name] for name in ("execution_id", "step", "item")),
        )
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    *columns, busy = row
    return None if busy else as_run(columns)


def unclaimed(
    connection: Connection, queue: str, before: int, now: int, limit: int, *, patient: bool
) -> list[RunRow]:
    """Return queued step runs whose message was sent through ``queue`` before ``before``.

    Args:
        connection: to read with.
        queue: the broker's queue.
        before: µs.
        now: µs.
        limit: rows at most.
        patient: leave out those sent again less long ago than they had waited until then, so
            that whoever holds the first message is not flooded with copies of it.
    """
    patience = (now - _RUNS.c.due_at) >= (_RUNS.c.due_at - _RUNS.c.queued_at)
    rows = connection.execute(
        select(*run_columns())
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .where(
            _LIVE,
            _NOT_PAUSED,
            _RUNS.c.status == StepStatus.QUEUED.value,
            _RUNS.c.queue == queue,
            _RUNS.c.due_at < before,
            or_(_RUNS.c.reason.is_(None), _RUNS.c.reason.not_in(_SENT_BY_OTHERS)),
            *([patience] if patient else []),
        )
        .order_by(_RUNS.c.due_at)
        .limit(limit)
    )
    return [as_run(row) for row in rows]


def unknown(connection: Connection, before: int, limit: int) -> list[RunRow]:
    """Return queued step runs that wait for a worker that knows them, due to be tried."""
    rows = connection.execute(
        select(*run_columns())
        .where(
            _LIVE,
            _RUNS.c.status == StepStatus.QUEUED.value,
            _RUNS.c.reason == Reason.UNKNOWN_STEP.value,
            _RUNS.c.due_at < before,
        )
        .order_by(_RUNS.c.due_at)
        .limit(limit)
    )
    return [as_run(row) for row in rows]


_SENT_AGAIN = (
    update(_RUNS)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step == bindparam("b_step"),
        _RUNS.c.item == bindparam("b_item"),
        _RUNS.c.epoch == bindparam("b_epoch"),
        _RUNS.c.status == StepStatus.QUEUED.value,
    )
    .values(due_at=bindparam("b_due"))
)


def sent_again(connection: Connection, runs: Sequence[RunRow], due_at: int) -> list[RunRow]:
    """Note that messages were sent again: from now on only newer evidence counts.

    Returns those it noted: rows that another transaction holds are left out, for it may stand
    still, and all others would wait for it.
    """
    free = _free(connection, runs)
    rows = [
        {
            "b_execution": run.execution_id,
            "b_step": run.step,
            "b_item": run.item,
            "b_epoch": run.epoch,
            "b_due": due_at,
        }
        for run in free
    ]
    if rows:
        connection.execute(_SENT_AGAIN, rows)
    return free


def _free(connection: Connection, runs: Sequence[RunRow]) -> list[RunRow]:
    if not runs:
        return []
    keys = [_RUNS.c.execution_id, _RUNS.c.step, _RUNS.c.item]
    wanted = tuple_(*keys).in_([(run.execution_id, run.step, run.item) for run in runs])
    # SQLite has one writer, which is this one: nobody holds a row, and the words are left out.
    rows = connection.execute(select(*keys).where(wanted).with_for_update(skip_locked=True))
    locked = {tuple(row) for row in rows}
    return [run for run in runs if (run.execution_id, run.step, run.item) in locked]
