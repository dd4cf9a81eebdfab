"""One execution as a table in memory: carries out what ``engine.core`` decides.

It does what ``engine/store`` says in SQL, with loops over a dictionary. Its guards can be left
out one by one, to see whether anybody would notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.core.event import Event, EventType
from engine.core.execution_state import ExecutionState
from engine.core.planning import PlannedRun
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
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
    """Return the head of an execution that was just admitted."""
    return ExecutionState(
        id=ID,
        owner_id="owner",
        workflow_id="workflow",
        version=1,
        parent_id=None,
        parent_step=None,
        parent_item=None,
        parent_epoch=None,
        status=ExecutionStatus.PENDING,
        ending=None,
        phase=Phase.STEPS,
        last_seq=1,
        last_log=0,
        active=0,
        steps_left=0,
        runs_done=0,
        runs_total=0,
    )


@dataclass
class Table:
    """The execution's row, its step runs and its events."""

    definition: Definition
    now: int
    guards: Guards = field(default_factory=Guards)
    head: ExecutionState = field(default_factory=new_head)
    rows: dict[Key, Row] = field(default_factory=dict)
    events: list[Event] = field(default_factory=lambda: [Event(EventType.CREATED)])
    due_at: int | None = None
    interrupting: bool = False
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
        head = self.head
        head.active += change.active
        head.runs_done += change.progress
        if key[1] < 0:
            head.steps_left -= change.ended
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

    def emit(self, event: EventType) -> None:
        """Leave a fact about the execution itself."""
        self.events.append(Event(event))

    def close(self) -> None:
        """End a turn: an execution with nothing queued or running is waiting."""
        head = self.head
        head.last_seq = len(self.events)
        if not head.moving:
            return
        if head.active > 0:
            head.status = ExecutionStatus.RUNNING
        elif head.steps_left > 0 and head.status is ExecutionStatus.RUNNING:
            head.status = ExecutionStatus.WAITING
            self.emit(EventType.WAITING)
            head.last_seq += 1

    # --- what SQL does to several rows at once ------------------------------------------------

    def insert_first(self, planned: Sequence[PlannedRun]) -> list[Message]:
        """Make the nodes' rows and return messages for those that are ready."""
        ready: list[Message] = []
        head = self.head
        for run in planned:
            row = Row(run.status, needs_left=run.needs_left, needs_ran=run.needs_ran)
            row.expires_in = run.expires_in
            self.rows[(run.step, -1)] = row
            head.runs_total += 1
            if run.status is StepStatus.SKIPPED:
                row.reason = Reason.NOT_NEEDED
                head.runs_done += 1
                self.events.append(Event(EventType.STEP_SKIPPED, run.step, -1))
                continue
            head.steps_left += 1
            if run.status is StepStatus.QUEUED:
                row.epoch, row.due_at, row.queued_at = 1, self.now, self.now
                head.active += 1
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
        self.head.active += 1
        return (*key, row.epoch)

    def drop_open(self, target: StepStatus, reason: Reason) -> None:
        """End every step run that is not claimed, and the nodes of fan-outs."""
        parked = (StepStatus.PENDING, StepStatus.RETRYING, StepStatus.WAITING)
        for (_step, item), row in self.rows.items():
            fan_out = row.status is StepStatus.RUNNING and row.items is not None and item < 0
            if row.status is StepStatus.QUEUED:
                self.head.active -= 1
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
