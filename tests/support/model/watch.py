"""Looks at an execution after each step and says which invariant does not hold.

It knows what may happen from ``docs/transitions.md``, not from the code that makes it happen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from engine.core.event import EventType
from engine.core.status import EXECUTION_ENDS, STEP_ENDS, ExecutionStatus, StepStatus
from tests.support.model.engine import Claim, Model
from tests.support.model.rescue import MAX_CRASHES
from tests.support.model.table import Key

_S = StepStatus
_DROPPED = {_S.SKIPPED, _S.CANCELLED}
LEGAL = {
    _S.PENDING: {_S.QUEUED, *_DROPPED},
    _S.QUEUED: {_S.RUNNING, _S.FAILED, _S.COMPLETED, *_DROPPED},
    _S.RUNNING: {_S.QUEUED, _S.RETRYING, _S.WAITING, _S.COMPLETED, _S.FAILED, _S.CANCELLED},
    _S.RETRYING: {_S.QUEUED, _S.RUNNING, *_DROPPED},
    _S.WAITING: {_S.QUEUED, _S.RUNNING, _S.COMPLETED, _S.FAILED, _S.RETRYING, *_DROPPED},
    **{end: set() for end in STEP_ENDS},
}
# What each fact says of the execution; a fact about a running step run ends its waiting.
_TOLD = {
    EventType.CREATED: "pending",
    EventType.STARTED: "running",
    EventType.WAITING: "waiting",
    EventType.PAUSED: "paused",
    EventType.CLOSING: "running",
    EventType.COMPLETED: "completed",
    EventType.FAILED: "failed",
    EventType.CANCELLED: "cancelled",
}
_STEP_TOLD = {
    EventType.STEP_EXPANDED: _S.RUNNING,
    EventType.STEP_STARTED: _S.RUNNING,
    EventType.STEP_WAITING: _S.WAITING,
    EventType.STEP_WOKEN: _S.QUEUED,
    EventType.STEP_RETRYING: _S.RETRYING,
    EventType.STEP_RELEASED: _S.QUEUED,
    EventType.STEP_CRASHED: _S.QUEUED,
    EventType.STEP_COMPLETED: _S.COMPLETED,
    EventType.STEP_FAILED: _S.FAILED,
    EventType.STEP_SKIPPED: _S.SKIPPED,
    EventType.STEP_CANCELLED: _S.CANCELLED,
}


@dataclass
class Watch:
    """What was seen of one execution so far."""

    model: Model
    statuses: dict[Key, StepStatus] = field(default_factory=dict)
    epochs: dict[Key, int] = field(default_factory=dict)
    claims: dict[Key, Claim] = field(default_factory=dict)  # the newest of each step run
    seen: int = 0  # events looked at
    told: str = "nothing"
    end: ExecutionStatus | None = None
    stopped: bool = False  # cancelled: only what runs at the end may start
    paused: bool = False
    completed: Counter[Key] = field(default_factory=Counter)

    def claimed(self, claim: Claim) -> None:
        """Take note of a claim that was granted, and check that it supersedes the one before."""
        key = claim.work.key
        before = self.claims.get(key)
        if before is not None:
            assert claim.work.epoch > before.work.epoch, (
                f"{key} was claimed twice under epoch {claim.work.epoch}"
            )
        self.claims[key] = claim

    def accepted(self, claim: Claim) -> None:
        """Check that only the newest claim's result was accepted, and only once."""
        key = claim.work.key
        assert self.claims.get(key) is claim, f"{key}: a result of an earlier claim was accepted"
        del self.claims[key]

    def look(self) -> None:
        """Check what must hold at any time."""
        self._events()
        for key, row in self.model.table.rows.items():
            self._row(key, row.status, row.epoch)
            limit = self.model.definition.steps[key[0]].retry.attempts
            assert 0 <= row.attempts <= limit, f"{key} has {row.attempts} attempts of {limit}"
            assert row.crashes <= MAX_CRASHES, f"{key} has {row.crashes} crashes"
        self._head()

    def _row(self, key: Key, status: StepStatus, epoch: int) -> None:
        before = self.statuses.get(key)
        if before is not None and before is not status:
            # A worker may do several moves in one step of a history; each is an event then.
            legal = LEGAL[before] | {target for one in LEGAL[before] for target in LEGAL[one]}
            assert status in legal, f"{key}: {before} became {status}"
            assert before not in STEP_ENDS, f"{key}: {before} is an end and became {status}"
        assert epoch >= self.epochs.get(key, 0), f"{key}: the epoch fell to {epoch}"
        self.statuses[key], self.epochs[key] = status, epoch

    def _events(self) -> None:
        events = self.model.table.events
        for event in events[self.seen :]:
            assert self.told not in EXECUTION_ENDS, f"{event.type} comes after {self.told}"
            if event.step is None:
                self._execution(event.type)
                continue
            assert event.item is not None
            self._step((event.step, event.item), event.type)
        self.seen = len(events)

    def _execution(self, event: EventType) -> None:
        if not (event is EventType.CLOSING and self.paused):
            self.told = _TOLD.get(event, self.told)
        if event is EventType.RESUMED:
            self.told = "running" if EventType.STARTED in self._types() else "pending"
        self.paused = self.told == "paused"
        if event is EventType.CANCEL_REQUESTED:
            self.stopped = True

    def _step(self, key: Key, event: EventType) -> None:
        step = self.model.definition.steps[key[0]]
        rows = self.model.table.rows
        if event in (EventType.STEP_STARTED, EventType.STEP_EXPANDED):
            assert not self.paused, f"{key} starts in a pause"
            assert step.closing or not self.stopped, f"{key} starts after the cancel"
            early = [need for need in step.needs if rows[(need, -1)].status not in STEP_ENDS]
            assert not early, f"{key} starts before {early} ended"
        if event is EventType.STEP_COMPLETED:
            self.completed[key] += 1
            assert self.completed[key] == 1, f"{key} completed twice"
        if self.told == "waiting":
            self.told = "running"

    def _types(self) -> set[EventType]:
        return {event.type for event in self.model.table.events}

    def _head(self) -> None:
        state, rows = self.model.table.state, self.model.table.rows
        if self.end is not None:
            assert state.status is self.end, f"{self.end} became {state.status}"
        if state.over:
            self.end = state.status
            left = [key for key, row in rows.items() if row.status not in STEP_ENDS]
            assert not left, f"{state.status} with {left} open"
        active = sum(
            row.status is _S.QUEUED or (row.status is _S.RUNNING and row.items is None)
            for row in rows.values()
        )
        assert state.active == active, f"active is {state.active}, {active} are"
        alike = {state.status.value, self.told} <= {"running", "waiting"}
        assert state.status == self.told or alike, f"{state.status}, the events say {self.told}"
        assert state.last_seq == len(self.model.table.events)

    def ended_well(self) -> None:
        """Check what must hold of an execution that has been left in peace."""
        table = self.model.table
        assert table.state.over, f"it never ended: {table.state.status}, {table.rows}"
        told: dict[Key, StepStatus] = {}
        for event in table.events:
            if event.step is not None and event.item is not None and event.type in _STEP_TOLD:
                told[(event.step, event.item)] = _STEP_TOLD[event.type]
        for key, status in told.items():
            found = table.rows[key].status
            dropped = table.state.ending is not None and status not in STEP_ENDS
            assert found is status or dropped, f"{key} is {found}, its events say {status}"
        if table.state.status is ExecutionStatus.COMPLETED:
            state = table.state
            assert (state.steps_left, state.active) == (0, 0)
            assert state.runs_done == state.runs_total
