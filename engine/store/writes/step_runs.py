"""Step runs in their execution's transaction: the first rows, needs counted down, bulk ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    insert,
    select,
    update,
)

from engine.core.event import Event, EventType
from engine.core.planning import PlannedRun
from engine.core.status import Reason, StepStatus
from engine.core.transitions import RunKey
from engine.store.db.compiled import Prepared
from engine.store.tables import StepRun, table
from engine.store.writes.execution_tx import ExecutionTx

_RUNS = table(StepRun)
_IN_LIMIT = 400  # dependants named in one statement: both databases take far more, parsers slow


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a message carries: which step run, never data."""

    execution_id: str
    step: int
    item: int
    epoch: int
    queue: str

    @property
    def key(self) -> RunKey:
        """The step run it speaks of."""
        return RunKey(self.execution_id, self.step, self.item)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A step run as its worker needs it."""

    execution_id: str
    step: int
    item: int
    status: StepStatus
    reason: str | None
    epoch: int
    attempts: int
    crashes: int
    needs_ran: int
    queue: str
    due_at: int | None
    queued_at: int | None
    worker_id: str | None
    started_at: int | None
    items: int | None
    value: str | None
    expires_in: int | None  # µs
    wait_for: str | None
    woken: bool  # as the driver gives it: 0 or 1 on SQLite

    @property
    def key(self) -> RunKey:
        """The step run itself."""
        return RunKey(self.execution_id, self.step, self.item)

    @property
    def ticket(self) -> Ticket:
        """Its message, as it is now."""
        return Ticket(self.execution_id, self.step, self.item, self.epoch, self.queue)


_COLUMNS = [_RUNS.c[name] for name in RunRow.__dataclass_fields__]
_STATUS = list(RunRow.__dataclass_fields__).index("status")
_SELECT_RUN = Prepared(
    select(*_COLUMNS).where(
        _RUNS.c.execution_id == bindparam("execution_id"),
        _RUNS.c.step == bindparam("step"),
        _RUNS.c.item == bindparam("item"),
    )
)


def as_run(row: Sequence[Any]) -> RunRow:
    """Return a row of ``run_columns`` as a value."""
    values = list(row)
    values[_STATUS] = StepStatus(values[_STATUS])
    return RunRow(*values)


def run_columns() -> list[Any]:
    """Return the columns that ``as_run`` understands."""
    return list(_COLUMNS)


def get(connection: Connection, key: RunKey) -> RunRow | None:
    """Return the step run, or None when there is none."""
    row = _SELECT_RUN.row(
        connection, {"execution_id": key.execution_id, "step": key.step, "item": key.item}
    )
    return None if row is None else as_run(row)


def input_of(connection: Connection, key: RunKey) -> str | None:
    """Return the parameters of a step run's attempt as JSON text."""
    found: str | None = connection.execute(
        select(_RUNS.c.input).where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item == key.item,
        )
    ).scalar_one_or_none()
    return found


_FIRST = (
    "execution_id",
    "step",
    "item",
    "status",
    "epoch",
    "needs_left",
    "needs_ran",
    "queue",
    "expires_in",
    "due_at",
    "queued_at",
    "reason",
    "finished_at",
)
_INSERT_FIRST = Prepared(insert(_RUNS).values({name: bindparam(name) for name in _FIRST}))


def insert_first(tx: ExecutionTx, planned: Sequence[PlannedRun]) -> list[Ticket]:
    """Insert a row for each node and return tickets for those that are ready."""
    rows = [
        {
            "execution_id": tx.state.id,
            "step": run.step,
            "item": -1,
            "status": run.status.value,
            "epoch": 1 if run.status is StepStatus.QUEUED else 0,
            "needs_left": run.needs_left,
            "needs_ran": run.needs_ran,
            "queue": run.queue,
            "expires_in": run.expires_in,
            "due_at": tx.now if run.status is StepStatus.QUEUED else None,
            "queued_at": tx.now if run.status is StepStatus.QUEUED else None,
            "reason": Reason.NOT_NEEDED.value if run.status is StepStatus.SKIPPED else None,
            "finished_at": tx.now if run.status is StepStatus.SKIPPED else None,
        }
        for run in planned
        if not run.reused
    ]
    if rows:
        _INSERT_FIRST.run_each(tx.connection, rows)
    skipped = [run for run in planned if run.status is StepStatus.SKIPPED and not run.reused]
    for run in skipped:
        data = {"reason": Reason.NOT_NEEDED}
        tx.record(Event(EventType.STEP_SKIPPED, run.step, -1, data=data))
    ready = [run for run in planned if run.status is StepStatus.QUEUED]
    tx.state.count_inserted(planned)
    return [Ticket(tx.state.id, run.step, -1, 1, run.queue) for run in ready]


@lru_cache(maxsize=64)
def _advance(count: int) -> Prepared:
    """Return the statement that counts one need less for ``count`` step runs."""
    last = _RUNS.c.needs_left == 1
    return Prepared(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == bindparam("b_execution"),
            _RUNS.c.step.in_([bindparam(f"b_step_{number}") for number in range(count)]),
            _RUNS.c.item == -1,
            _RUNS.c.status == StepStatus.PENDING.value,
        )
        .values(
            needs_left=_RUNS.c.needs_left - 1,
            needs_ran=_RUNS.c.needs_ran + bindparam("b_ran"),
            status=case((last, StepStatus.QUEUED.value), else_=_RUNS.c.status),
            epoch=case((last, _RUNS.c.epoch + 1), else_=_RUNS.c.epoch),
            due_at=case((last, bindparam("b_now")), else_=None),
            queued_at=case((last, bindparam("b_now")), else_=None),
        )
        .returning(_RUNS.c.step, _RUNS.c.needs_left, _RUNS.c.epoch, _RUNS.c.queue)
    )


def advance(tx: ExecutionTx, dependants: Sequence[int], *, ran: bool) -> list[Ticket]:
    """Count one need less for each dependant and return tickets for those now ready.

    The count and the test are one statement: ``count(*)`` over the siblings would, under READ
    COMMITTED, let two last siblings each miss the other, and the join would never fire.
    """
    ready: list[Ticket] = []
    for some in chunks(dependants):
        rows = _advance(len(some)).rows(
            tx.connection,
            {
                "b_execution": tx.state.id,
                "b_ran": int(ran),
                "b_now": tx.now,
                **{f"b_step_{number}": step for number, step in enumerate(some)},
            },
        )
        ready += [
            Ticket(tx.state.id, step, -1, epoch, queue)
            for step, needs_left, epoch, queue in rows
            if needs_left == 0
        ]
    tx.state.active += len(ready)
    return sorted(ready, key=lambda ticket: ticket.step)


def drop_open(tx: ExecutionTx, target: StepStatus, reason: Reason) -> None:
    """End every step run that is not claimed: the execution is about to end.

    One event for the execution speaks for all of them: ten thousand rows in one transaction
    would hold everybody else up.
    """
    here = _RUNS.c.execution_id == tx.state.id
    ended = {
        "status": target.value,
        "reason": reason.value,
        "finished_at": tx.now,
        "due_at": None,
    }
    queued = tx.connection.execute(
        update(_RUNS).where(here, _RUNS.c.status == StepStatus.QUEUED.value).values(ended)
    ).rowcount
    tx.state.active -= queued
    parked = [StepStatus.PENDING.value, StepStatus.RETRYING.value, StepStatus.WAITING.value]
    tx.connection.execute(update(_RUNS).where(here, _RUNS.c.status.in_(parked)).values(ended))
    # A fan-out's node has no claim of its own; it ends with its execution.
    tx.connection.execute(
        update(_RUNS)
        .where(
            here,
            _RUNS.c.status == StepStatus.RUNNING.value,
            _RUNS.c["items"].is_not(None),
            _RUNS.c.item == -1,
        )
        .values({**ended, "status": StepStatus.CANCELLED.value})
    )


def running(connection: Connection, execution_id: str) -> list[RunRow]:
    """Return the execution's claimed step runs, in lock order."""
    statement = (
        select(*_COLUMNS)
        .where(
            _RUNS.c.execution_id == execution_id,
            _RUNS.c.status == StepStatus.RUNNING.value,
            _RUNS.c["items"].is_(None),
        )
        .order_by(_RUNS.c.step, _RUNS.c.item)
    )
    return [as_run(row) for row in connection.execute(statement)]


def requeue(tx: ExecutionTx) -> list[Ticket]:
    """Return a message for each step run that is queued, due as of now: it was paused.

    But for those on their last chance: rescue sends them, one at a time.
    """
    rows = tx.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == tx.state.id,
            _RUNS.c.status == StepStatus.QUEUED.value,
            _RUNS.c.reason.is_distinct_from(Reason.WORKER_CRASHED.value),
        )
        .values(due_at=tx.now, queued_at=tx.now)
        .returning(_RUNS.c.step, _RUNS.c.item, _RUNS.c.epoch, _RUNS.c.queue)
    )
    found = [Ticket(tx.state.id, row.step, row.item, row.epoch, row.queue) for row in rows]
    return sorted(found, key=lambda ticket: (ticket.step, ticket.item))


def chunks(steps: Sequence[int]) -> Iterator[list[int]]:
    """Return ``steps`` in lists short enough for one statement."""
    for start in range(0, len(steps), _IN_LIMIT):
        yield list(steps[start : start + _IN_LIMIT])
