"""One execution as a table in memory: carries out what ``engine.core`` decides.

It does what ``engine/store`` says in SQL, with loops over a dictionary. Its guards can be left
out one by one, to see whether anybody would notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.core import termination
from engine.core.event import Event, EventType
from engine.core.execution_state import ExecutionState
from engine.core.plan import (
    AnswerParent,
    Apply,
    CancelChildren,
    CountNeeds,
    Dispatch,
    DropOpen,
    Emit,
    FailFanOut,
    FanOut,
    InsertRuns,
    MarkEnding,
    Order,
    Plan,
    QueueItem,
    Requeue,
    SetColumns,
)
from engine.core.planning import PlannedRun
from engine.core.status import ExecutionStatus, Reason, StepStatus
from engine.core.transitions import RunKey, Transition, event_of
from engine.definition import Definition

Key = tuple[int, int]
Message = tuple[int, int, int]  # step, item, epoch

ID = "execution"


class StaleError(Exception):
    """A guard did not match: nothing was changed."""


@dataclass(slots=True)
class Row:
    """A step run."""

    status: StepStatus
    epoch: int = 0
    attempts: int = 0
    crashes: int = 0
    needs_left: int = 0
    needs_ran: int = 0
    due_at: int | None = None
    queued_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    worker_id: str | None = None
    reason: str | None = None
    expires_in: int | None = None
    wait_for: str | None = None
    items: int | None = None
    items_left: int = 0
    items_next: int = 0
    items_failed: int = 0
    items_held: int | None = None
    input: str | None = None
    output: str | None = None
    error: str | None = None
    progress: str | None = None
    woken: bool = False


@dataclass(slots=True)
class Guards:
    """Which of the guards hold. All of them do in the real engine."""

    epoch: bool = True
    status: bool = True
    sweep: bool = True


def new_head() -> ExecutionState:
    """Return the state of an execution that was just admitted."""
    return ExecutionState(ID, "owner", "workflow", 1, last_seq=1)


@dataclass
class Table:
    """The execution's row, its step runs and its events."""

    definition: Definition
    now: int
    guards: Guards = field(default_factory=Guards)
    state: ExecutionState = field(default_factory=new_head)
    rows: dict[Key, Row] = field(default_factory=dict)
    events: list[Event] = field(default_factory=lambda: [Event(EventType.CREATED)])
    due_at: int | None = None
    interrupting: bool = False
    wants_dispatch: bool = False
    deadline_at: int | None = None

    def __post_init__(self) -> None:
        self.due_at = self.now
        if self.definition.timeout is not None:
            self.deadline_at = self.now + int(self.definition.timeout * 1e6)

    # --- one move -----------------------------------------------------------------------------

    def apply(self, key: Key, epoch: int, change: Transition) -> int:
        """Carry out one legal move and return the step run's count of attempts.

        Raises:
            StaleError: the row has another epoch or status by now.
        """
        row = self.expect(key, epoch, change.source)
        row.status = change.target
        for name, value in change.values.items():
            setattr(row, name, value)
        for name, more in change.adds.items():
            setattr(row, name, getattr(row, name) + more)
        self.state.count(RunKey(ID, *key), change)
        attempt = row.attempts - min(change.adds.get("attempts", 0), 0)
        event = event_of(change, RunKey(ID, *key), attempt or None)
        if event is not None:
            self.events.append(event)
        return row.attempts

    def expect(self, key: Key, epoch: int, status: StepStatus) -> Row:
        """Return the row, if its epoch and status are these.

        Raises:
            StaleError: they are not.
        """
        row = self.rows[key]
        if self.guards.epoch and row.epoch != epoch:
            raise StaleError(f"{key}: epoch {epoch} is over")
        if self.guards.status and row.status is not status:
            raise StaleError(f"{key} is {row.status}, not {status}")
        return row

    def close(self) -> None:
        """End a turn: an execution with nothing queued or running is waiting."""
        state = self.state
        state.last_seq = len(self.events)
        if not state.moving:
            return
        if state.active > 0:
            state.status = ExecutionStatus.RUNNING
        elif state.steps_left > 0 and state.status is ExecutionStatus.RUNNING:
            state.status = ExecutionStatus.WAITING
            self.events.append(Event(EventType.WAITING))
            state.last_seq += 1

    # --- a plan of the core -------------------------------------------------------------------

    def carry_out(self, plan: Plan) -> list[Message]:
        """Do what it orders, and what is left when nothing runs by that any more.

        Returns messages for what is ready.
        """
        ready: list[Message] = []
        for order in plan.orders:
            ready += self._carry_out_one(order)
        if plan.asks_again:
            ready = self.carry_out(termination.idle(self.state, self.definition, self.now))
        return ready if self.state.moving else []

    def _carry_out_one(self, order: Order) -> list[Message]:
        match order:
            case Apply(key, epoch, transition):
                self.apply((key.step, key.item), epoch, transition)
            case CountNeeds(dependants, ran):
                return self.advance(dependants, ran=ran)
            case QueueItem(key):
                return self.queue_items(key.step, key.item, key.item + 1)
            case InsertRuns(rows):
                return self.insert_first(rows)
            case DropOpen(target, reason):
                self.drop_open(target, reason)
            case Requeue():
                found = self.requeue()
                self.wants_dispatch |= not found
                return found
            case SetColumns(values):
                self._set(values)
            case Emit(event):
                self.events.append(event)
            case Dispatch(wanted):
                self.wants_dispatch = wanted
            case FailFanOut(step):
                node = self.rows[(step, -1)]
                node.status, node.reason = StepStatus.FAILED, Reason.STEP_FAILED
            case MarkEnding() | CancelChildren() | AnswerParent():
                pass  # of these the model keeps nothing
            case _:
                raise AssertionError(f"{order} is none of the model's")
        return []

    def _set(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            where = self.state if hasattr(self.state, name) else self
            if hasattr(where, name):
                setattr(where, name, value)

    def count_item(self, key: Key, *, failed: bool) -> FanOut | None:
        """Count an item that ended; None for what is no item, or when nobody asks any more."""
        if key[1] < 0 or self.state.stopping:
            return None
        node = self.rows[(key[0], -1)]
        assert node.items is not None
        node.items_left -= 1
        node.items_failed += failed
        node.items_next += 1
        return FanOut(
            node.items, node.items_left, node.items_next - 1, node.items_failed, node.epoch
        )

    # --- what SQL does to several rows at once ------------------------------------------------

    def insert_first(self, planned: Sequence[PlannedRun]) -> list[Message]:
        """Make the nodes' rows and return messages for those that are ready."""
        ready: list[Message] = []
        self.state.count_inserted(planned)
        for run in planned:
            row = Row(run.status, needs_left=run.needs_left, needs_ran=run.needs_ran)
            row.expires_in = run.expires_in
            self.rows[(run.step, -1)] = row
            if run.status is StepStatus.SKIPPED:
                row.reason = Reason.NOT_NEEDED
                self.events.append(Event(EventType.STEP_SKIPPED, run.step, -1))
            elif run.status is StepStatus.QUEUED:
                row.epoch, row.due_at, row.queued_at = 1, self.now, self.now
                ready.append((run.step, -1, 1))
        return ready

    def advance(self, dependants: Iterable[int], *, ran: bool) -> list[Message]:
        """Count one need less for each dependant; return messages for those now ready."""
        ready: list[Message] = []
        for step in sorted(dependants):
            row = self.rows.get((step, -1))
            if row is None or row.status is not StepStatus.PENDING:
                continue
            row.needs_left -= 1
            row.needs_ran += ran
            if row.needs_left == 0:
                ready.append(self._queue((step, -1)))
        return ready

    def insert_items(self, step: int, count: int, expires_in: int | None) -> None:
        """Make pending items; those that are there already are kept."""
        for item in range(count):
            self.rows.setdefault((step, item), Row(StepStatus.PENDING, expires_in=expires_in))

    def queue_items(self, step: int, first: int, end: int) -> list[Message]:
        """Queue the pending ones among items ``first`` ≤ item < ``end``."""
        keys = [(step, item) for item in range(first, end)]
        return [
            self._queue(key)
            for key in keys
            if key in self.rows and self.rows[key].status is StepStatus.PENDING
        ]

    def _queue(self, key: Key) -> Message:
        row = self.rows[key]
        row.status = StepStatus.QUEUED
        row.epoch += 1
        row.due_at = row.queued_at = self.now
        self.state.active += 1
        return (*key, row.epoch)

    def drop_open(self, target: StepStatus, reason: Reason) -> None:
        """End every step run that is not claimed, and the nodes of fan-outs."""
        parked = (StepStatus.PENDING, StepStatus.RETRYING, StepStatus.WAITING)
        for (_step, item), row in self.rows.items():
            fan_out = row.status is StepStatus.RUNNING and row.items is not None and item < 0
            if row.status is StepStatus.QUEUED:
                self.state.active -= 1
            elif row.status not in parked and not fan_out:
                continue
            row.status = StepStatus.CANCELLED if fan_out else target
            row.reason, row.finished_at, row.due_at = reason, self.now, None

    def requeue(self) -> list[Message]:
        """Owe everything that is queued as of now."""
        found = [key for key in sorted(self.rows) if self.rows[key].status is StepStatus.QUEUED]
        for key in found:
            self.rows[key].due_at = self.rows[key].queued_at = self.now
        return [self.message(key) for key in found]

    def running(self) -> list[Key]:
        """Return the claimed step runs, in lock order."""
        return [
            key
            for key in sorted(self.rows)
            if self.rows[key].status is StepStatus.RUNNING and self.rows[key].items is None
        ]

    def message(self, key: Key) -> Message:
        """Return the message that the step run is owed."""
        return (*key, self.rows[key].epoch)
