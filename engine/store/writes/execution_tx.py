"""The transaction on one execution: lock its row, change step runs, number the events, write back.

Every write to an execution goes through here, so all of them take the same lock first (executions
by id, then their step runs), cancel and completion have one order, and events are numbered in
the order of commits without gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, true, update

from engine.codec import encode
from engine.core.event import Event, EventType
from engine.core.execution_state import ExecutionState
from engine.core.status import ExecutionStatus, Phase
from engine.core.transitions import RunKey, Transition, event_of
from engine.errors import NotFound, StaleClaim
from engine.store.db.compiled import Prepared, Row, insert_many, numbered
from engine.store.tables import Attempt, EventRow, Execution, LogLine, StepRun, table
from engine.store.writes.transition_sql import Columns, assignments, columns_of, parameters

_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_EVENTS = table(EventRow)
_LINES = table(LogLine)
STATE_COLUMNS = (
    "id",
    "owner_id",
    "workflow_id",
    "version",
    "parent_id",
    "parent_step",
    "parent_item",
    "parent_epoch",
    "status",
    "ending",
    "phase",
    "last_seq",
    "last_log",
    "active",
    "steps_left",
    "runs_done",
    "runs_total",
)


def _lock_state() -> Any:
    return (
        select(*(_EXECUTIONS.c[name] for name in STATE_COLUMNS))
        .where(_EXECUTIONS.c.id == bindparam("execution_id"))
        .with_for_update()
    )


_LOCK_STATE = Prepared(_lock_state())
_STATE_WIDTH = len(STATE_COLUMNS)
_WRITTEN = STATE_COLUMNS[8:]


@dataclass(frozen=True, slots=True)
class Line:
    """A log line on its way to the store."""

    step: int
    item: int
    attempt: int
    at: int
    level: str
    message: str


class ExecutionTx:
    """One transaction on one execution. Made by ``execution_tx``, which closes it."""

    def __init__(self, connection: Connection, execution_id: str, now: int) -> None:
        self._connection = connection
        self._execution_id = execution_id
        self._state: ExecutionState | None = None
        self.now = now
        self._events: list[Event] = []
        self._lines: list[Line] = []
        self._values: dict[str, Any] = {}
        self.dispatches: list[
            str
        ] = []  # executions that someone must look at once this has committed

    @property
    def state(self) -> ExecutionState:
        """The execution's head, locked from the first time that anybody asks for it.

        Raises:
            NotFound: there is no such execution.
        """
        if self._state is None:
            row = _LOCK_STATE.row(self._connection, {"execution_id": self._execution_id})
            self._state = self._found(row)
        return self._state

    @property
    def connection(self) -> Connection:
        """What statements are to be run on: only once the head is locked, or locks would cross."""
        _ = self.state
        return self._connection

    def _found(self, row: Row | None) -> ExecutionState:
        if row is None:
            raise NotFound(f"there is no execution {self._execution_id}")
        return as_state(row[:_STATE_WIDTH])

    def apply(self, key: RunKey, epoch: int, transition: Transition) -> int:
        """Carry out ``transition`` and return the step run's count of attempts.

        Raises:
            StaleClaim: the step run has another epoch or status by now; nothing was changed.
        """
        row = self._carry_out(
            columns_of(transition),
            {
                **parameters("run", transition),
                "b_execution": key.execution_id,
                "b_step": key.step,
                "b_item": key.item,
                "b_epoch": epoch,
            },
        )
        if row is None:
            raise StaleClaim(
                f"step run {key.step}/{key.item} was taken over: epoch {epoch} is over"
            )
        attempts, worker_id, started_at = row
        # A move that takes the attempt back speaks of the attempt it takes back.
        attempt = attempts - min(transition.adds.get("attempts", 0), 0)
        self._follow(key, transition, attempt)
        if transition.tried is not None:
            self.connection.execute(
                insert(Attempt),
                {
                    "execution_id": key.execution_id,
                    "step": key.step,
                    "item": key.item,
                    "epoch": epoch,
                    "attempt": attempt,
                    "outcome": transition.tried.outcome,
                    "reason": transition.tried.reason,
                    "worker_id": worker_id,
                    "started_at": started_at,
                    "finished_at": self.now,
                    "error": transition.tried.error,
                },
            )
        return int(attempts)

    def _carry_out(self, columns: Columns, values: dict[str, Any]) -> Row | None:
        """Run the guarded UPDATE; on PostgreSQL a first one locks the head in the same trip."""
        if self._state is not None or self._connection.dialect.name != "postgresql":
            return _change_statement(columns).row(self.connection, values)
        row = _lock_and_change(columns).row(
            self._connection, {**values, "execution_id": self._execution_id}
        )
        self._state = self._found(row)
        assert row is not None
        changed = row[_STATE_WIDTH:]
        return None if changed[0] is None else changed

    def _follow(self, key: RunKey, transition: Transition, attempt: int | None) -> None:
        self.state.count(key, transition)
        event = event_of(transition, key, attempt or None)
        if event is not None:
            self._events.append(event)

    @property
    def facts(self) -> list[Event]:
        """The facts left so far, in order."""
        return self._events

    def emit(self, event_type: EventType, **data: Any) -> None:
        """Leave a fact about the execution itself."""
        self._events.append(Event(event_type, data=data))

    def record(self, event: Event) -> None:
        """Leave a fact about a step run that was written otherwise than by a move."""
        self._events.append(event)

    def log(self, lines: Iterable[Line]) -> int:
        """Keep what user code said, in this order; return the number that the first line gets."""
        first = self.state.last_log + len(self._lines) + 1
        self._lines.extend(lines)
        return first

    def forget_lines(self, numbers: Sequence[int]) -> None:
        """Delete lines that were the end of a log before it went on."""
        if numbers:
            rows = [{"b_execution": self.state.id, "b_seq": number} for number in numbers]
            self.connection.execute(_DELETE_LINE, rows)

    def set(self, **values: Any) -> None:
        """Write other columns of the execution when the transaction closes."""
        self._values.update(values)

    def close(self) -> None:
        """Write the head, the events and the lines."""
        self._settle_waiting()
        told, extra = self._told(), tuple(self._values)
        self._write_lines(self.state)
        values = {f"v_{name}": getattr(self.state, name) for name in _WRITTEN}
        values |= {f"v_{name}": value for name, value in self._values.items()}
        values["b_id"] = self.state.id
        if not 0 < len(told) <= _EVENTS_AT_ONCE or self.connection.dialect.name != "postgresql":
            for start in range(0, len(told), _EVENTS_AT_ONCE):
                some = told[start : start + _EVENTS_AT_ONCE]
                _insert_events(len(some)).run(self.connection, numbered(some))
            _write_state(extra).run(self.connection, values)
            return
        _tell_and_write(len(told), extra).run(self.connection, {**numbered(told), **values})

    def _settle_waiting(self) -> None:
        """Keep the status true: an execution with nothing queued or running is waiting."""
        state = self.state
        if not state.moving:
            return
        if state.active > 0:
            state.status = ExecutionStatus.RUNNING
        elif state.steps_left > 0 and state.status is ExecutionStatus.RUNNING:
            state.status = ExecutionStatus.WAITING
            self.emit(EventType.WAITING)

    def _told(self) -> list[dict[str, Any]]:
        """Number the facts; return their rows."""
        first = self.state.last_seq + 1
        self.state.last_seq += len(self._events)
        return [
            {
                "execution_id": self.state.id,
                "seq": seq,
                "type": fact.type.value,
                "step": fact.step,
                "item": fact.item,
                "attempt": fact.attempt,
                "at": self.now,
                "data": encode(fact.data) if fact.data else None,
            }
            for seq, fact in enumerate(self._events, first)
        ]

    def _write_lines(self, head: ExecutionState) -> None:
        if not self._lines:
            return
        rows = [
            {
                "execution_id": head.id,
                "seq": seq,
                "step": line.step,
                "item": line.item,
                "attempt": line.attempt,
                "at": line.at,
                "level": line.level,
                "message": line.message,
            }
            for seq, line in enumerate(self._lines, head.last_log + 1)
        ]
        head.last_log += len(rows)
        _INSERT_LINES.run_each(self.connection, rows)


_EVENTS_AT_ONCE = 16
_INSERT_LINES = Prepared(insert(_LINES))
_DELETE_LINE = delete(_LINES).where(
    _LINES.c.execution_id == bindparam("b_execution"), _LINES.c.seq == bindparam("b_seq")
)


@lru_cache(maxsize=_EVENTS_AT_ONCE)
def _insert_events(count: int) -> Prepared:
    return Prepared(insert_many(_EVENTS, _EVENTS.c.keys(), count))


@contextmanager
def execution_tx(connection: Connection, execution_id: str, now: int) -> Iterator[ExecutionTx]:
    """Yield the execution's transaction; what it changed is written when the block ends.

    Raises:
        NotFound: there is no such execution.
    """
    tx = ExecutionTx(connection, execution_id, now)
    yield tx
    tx.close()


def as_state(row: Row) -> ExecutionState:
    """Return a row of ``STATE_COLUMNS`` as a value."""
    state = ExecutionState(*row)
    state.status = ExecutionStatus(state.status)
    state.ending = ExecutionStatus(state.ending) if state.ending else None
    state.phase = Phase(state.phase)
    return state


def _change(columns: Columns) -> Any:
    return (
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == bindparam("b_execution"),
            _RUNS.c.step == bindparam("b_step"),
            _RUNS.c.item == bindparam("b_item"),
            _RUNS.c.epoch == bindparam("b_epoch"),
            _RUNS.c.status == bindparam("run_source"),
        )
        .values(assignments("run", columns))
        .returning(_RUNS.c.attempts, _RUNS.c.worker_id, _RUNS.c.started_at)
    )


@lru_cache(maxsize=256)
def _change_statement(columns: Columns) -> Prepared:
    return Prepared(_change(columns))


@lru_cache(maxsize=256)
def _lock_and_change(columns: Columns) -> Prepared:
    """Both in one statement. The execution is locked first: without it nothing is changed."""
    locked = _lock_state().cte("locked")
    changed = _change(columns).where(exists(select(locked.c.id))).cte("changed")
    return Prepared(select(locked, changed).select_from(locked.outerjoin(changed, true())))


def _state(extra: Sequence[str]) -> Any:
    columns: dict[str, Any] = {name: bindparam(f"v_{name}") for name in (*_WRITTEN, *extra)}
    return update(_EXECUTIONS).where(_EXECUTIONS.c.id == bindparam("b_id")).values(columns)


@lru_cache(maxsize=64)
def _write_state(extra: Sequence[str]) -> Prepared:
    return Prepared(_state(extra))


@lru_cache(maxsize=256)
def _tell_and_write(count: int, extra: Sequence[str]) -> Prepared:
    """Both in one statement."""
    events = insert_many(_EVENTS, _EVENTS.c.keys(), count)
    return Prepared(_state(extra).add_cte(events.cte("told")))
