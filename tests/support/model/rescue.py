"""What rescue does, over a :class:`Table`: ``engine/rescue`` in the plainest way."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.core import retry as retries
from engine.core import transitions
from engine.core.event import EventType
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.flow.evidence import QUIET
from engine.rescue import ALONE_AGAIN, HEAD_START, LATE_RETRY
from tests.support.model.flow import Flow
from tests.support.model.shapes import Shape
from tests.support.model.table import ID, Guards, Key, Message

MAX_CRASHES = 3
INTERRUPT = 5_000_000  # µs that interrupted steps have


@dataclass(slots=True)
class Sends:
    """Messages owed: now, later (with the time they are due), and whether to look again."""

    now: list[Message] = field(default_factory=list)
    later: list[tuple[Message, int]] = field(default_factory=list)
    dispatch: bool = False


@dataclass(slots=True)
class Notice:
    """An answer that is owed to a waiting step run."""

    key: Key
    epoch: int
    created_at: int
    at: int  # which of the signals it is


@dataclass
class Rescue(Flow):
    """One execution, and the sweeps over it."""

    shape: Shape
    now: int = 1_000_000_000_000
    guards: Guards = field(default_factory=Guards)
    stopped: set[str] = field(default_factory=set)  # workers known to have ended
    broker_is_empty: bool = False
    broker_forgot: bool = False
    notices: list[Notice] = field(default_factory=list)
    taken: list[bool] = field(default_factory=list)  # per signal: whether it has a taker
    sends: Sends = field(default_factory=Sends)

    def sweep(self) -> None:
        """Look once for what is owed and has nobody to carry it out."""
        if not self.guards.sweep:
            return
        self._take_from_the_dead()
        self._try_last_chance()
        self._end_overdue()
        self._wake()
        self._expire()
        self._miss_deadline()
        self._end_execution()
        self._send_lost()
        if any(notice.created_at < self.now - QUIET for notice in self.notices):
            self.sends.dispatch = True

    def is_owed(self, key: Key, epoch: int) -> bool:
        """Return whether an answer is under way to the waiting step run."""
        return any((notice.key, notice.epoch) == (key, epoch) for notice in self.notices)

    def owe_finish(self) -> None:
        """All steps have ended: somebody must look, and write the output."""
        self.sends.dispatch = True

    @property
    def _paused(self) -> bool:
        return self.table.head.status is ExecutionStatus.PAUSED

    def _due(self, status: StepStatus, before: int) -> list[Key]:
        if self._paused and status is not StepStatus.RUNNING:
            return []
        found = [
            (row.due_at, key)
            for key, row in self.table.rows.items()
            if row.status is status and row.due_at is not None and row.due_at < before
        ]
        return [key for _due_at, key in sorted(found)]

    def _take_from_the_dead(self) -> None:
        table = self.table
        for key in table.running():
            row = table.rows[key]
            if row.status is not StepStatus.RUNNING or row.worker_id not in self.stopped:
                continue
            crashes = row.crashes + 1
            if table.head.stopping:
                self.sends.now += self._revoke(key, row.epoch)
            elif crashes < MAX_CRASHES:
                last = crashes == MAX_CRASHES - 1
                moved = transitions.crash(now=self.now, crashes=crashes, last_chance=last)
                table.apply(key, row.epoch, moved)
                self.sends.now += [] if last else [table.message(key)]
            else:
                table.apply(
                    key, row.epoch, transitions.crash_out(now=self.now, error="{}", data={})
                )
                self.sends.now += self.after_failure(key)
            table.close()

    def _try_last_chance(self) -> None:
        if self._paused:
            return
        last = [(k, r) for k, r in self.table.rows.items() if r.crashes >= MAX_CRASHES - 1]
        since = self.now - HEAD_START
        if any(r.status is StepStatus.RUNNING and (r.started_at or 0) > since for _, r in last):
            return
        waits = sorted(
            (row.due_at or row.queued_at or 0, key)
            for key, row in last
            if row.status is StepStatus.QUEUED and row.reason == Reason.WORKER_CRASHED
        )
        sent = [self.table.rows[key].due_at or 0 for _since, key in waits]
        if waits and max(sent) < self.now - ALONE_AGAIN:
            _since, key = waits[0]
            self.table.rows[key].due_at = self.now
            self.sends.now.append(self.table.message(key))

    def _end_overdue(self) -> None:
        table = self.table
        for key in self._due(StepStatus.RUNNING, self.now):
            row = table.rows[key]
            if row.status is not StepStatus.RUNNING:
                continue
            if not self._try_again(key, row.epoch, row.attempts, Reason.TIMEOUT):
                over = transitions.fail(now=self.now, reason=Reason.TIMEOUT, error="{}", data={})
                table.apply(key, row.epoch, over)
                self.sends.now += self.after_failure(key)
            table.close()

    def _wake(self) -> None:
        table = self.table
        waiting = [(StepStatus.WAITING, key) for key in self._due(StepStatus.WAITING, self.now)]
        late = self._due(StepStatus.RETRYING, self.now - LATE_RETRY)
        for status, key in waiting + [(StepStatus.RETRYING, key) for key in late]:
            row = table.rows[key]
            if not table.head.moving or row.status is not status:
                continue
            if row.wait_for is None:
                table.apply(key, row.epoch, transitions.wake(status, now=self.now))
                self.sends.now.append(table.message(key))
            elif not self.is_owed(key, row.epoch):
                over = transitions.answer_badly(
                    now=self.now, reason=Reason.EXPIRED, error="{}", data={}
                )
                table.apply(key, row.epoch, over)
                self.sends.now += self.after_failure(key)
            table.close()

    def _expire(self) -> None:
        table = self.table
        oldest_first = sorted(table.rows, key=lambda key: (table.rows[key].queued_at or 0, key))
        for key in oldest_first:
            row = table.rows[key]
            if row.status is not StepStatus.QUEUED or row.expires_in is None:
                continue
            if not table.head.moving:
                return
            if (row.queued_at or 0) + row.expires_in < self.now:
                table.apply(key, row.epoch, transitions.expire(now=self.now, error="{}", data={}))
                self.sends.now += self.after_failure(key)
                table.close()

    def _miss_deadline(self) -> None:
        table, head = self.table, self.table.head
        late = table.deadline_at is not None and table.deadline_at <= self.now
        if late and not head.over and head.ending is None and head.phase is Phase.STEPS:
            table.emit(EventType.TIMED_OUT)
            self.sends.now += self.start_ending(ExecutionStatus.FAILED)
            table.close()

    def _end_execution(self) -> None:
        table, head = self.table, self.table.head
        owed = table.due_at is not None and table.due_at <= self.now
        if not owed or head.over or self._paused or head.status is ExecutionStatus.PENDING:
            return
        if head.ending is None:
            self.sends.dispatch = True
            table.due_at = self.now + 5 * QUIET
        elif table.interrupting:
            self._end_now()
        elif head.stopping:
            if head.active == 0:
                self.sends.now += self.end_if_idle()
            else:
                table.interrupting, table.due_at = True, self.now + INTERRUPT
                table.emit(EventType.INTERRUPTING)
            table.close()

    def _end_now(self) -> None:
        table = self.table
        if not table.head.stopping:
            return
        for key in table.running():
            self.sends.now += self._revoke(key, table.rows[key].epoch)
        self.sends.now += self.end_if_idle()
        table.close()

    def _send_lost(self) -> None:
        table, head = self.table, self.table.head
        forgot, self.broker_forgot = self.broker_forgot, False
        before = self.now if forgot else self.now - QUIET if self.broker_is_empty else 0
        for key in self._due(StepStatus.QUEUED, before):
            row = table.rows[key]
            due_at, queued_at = row.due_at or 0, row.queued_at or 0
            patient = self.now - due_at >= due_at - queued_at
            if row.reason != Reason.WORKER_CRASHED and (forgot or patient):
                row.due_at = self.now
                self.sends.now.append(table.message(key))
        pending = head.status is ExecutionStatus.PENDING and head.ending is None
        if pending and table.due_at is not None and table.due_at < before:
            table.due_at = self.now
            self.sends.dispatch = True

    def _try_again(
        self, key: Key, epoch: int, attempts: int, reason: Reason, *, retryable: bool = True
    ) -> bool:
        decision = retries.decide(
            self.definition.steps[key[0]].retry,
            attempts=attempts,
            reason=reason,
            error_type="ValueError",
            retryable=retryable,
            seed=ID,
        )
        if not isinstance(decision, retries.Retry) or self.table.head.stopping:
            return False
        due_at = self.now + decision.delay_us
        again = transitions.retry(due_at=due_at, reason=reason, error="{}", data={})
        self.table.apply(key, epoch, again)
        return True

    def _revoke(self, key: Key, epoch: int) -> list[Message]:
        ending = self.table.head.ending or ExecutionStatus.FAILED
        self.table.apply(key, epoch, transitions.revoke(now=self.now, ending=ending))
        return self.end_if_idle()
