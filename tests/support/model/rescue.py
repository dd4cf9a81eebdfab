"""What rescue does, over a :class:`Table`: ``engine/recovery`` in the plainest way."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.core import failures, lifecycle, propagate, termination, transitions
from engine.core.failures import Failure
from engine.core.plan import Plan
from engine.core.status import ExecutionStatus, Reason, StepStatus
from engine.core.transitions import RunKey
from engine.definition import Definition
from engine.recovery import ALONE_AGAIN, HEAD_START, LATE_RETRY
from engine.recovery.message_loss import QUIET
from tests.support.model.shapes import Shape
from tests.support.model.table import ID, Guards, Key, Message, Table

MAX_CRASHES = 3
GRACE = 10_000_000  # µs that what runs has once its execution is told to end
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
class Rescue:
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

    def __post_init__(self) -> None:
        self.table = Table(self.shape.definition, self.now, self.guards)
        self.sends.dispatch = True

    @property
    def definition(self) -> Definition:
        """The pinned version."""
        return self.table.definition

    # --- what follows from a transition -------------------------------------------------------

    def carry_out(self, plan: Plan) -> list[Message]:
        """Do what the core has planned; return messages for what is ready."""
        ready = self.table.carry_out(plan)
        self.sends.dispatch |= self.table.wants_dispatch
        self.table.wants_dispatch = False
        return ready

    def after_success(self, key: Key, *, ran: bool) -> list[Message]:
        """Do what follows when the step run completed or was skipped."""
        fan_out = self.table.count_item(key, failed=False)
        state, run = self.table.state, RunKey(ID, *key)
        return self.carry_out(
            propagate.after_success(
                state, self.definition, run, now=self.now, ran=ran, fan_out=fan_out
            )
        )

    def after_failure(self, key: Key) -> list[Message]:
        """Do what the failed step's policy says."""
        fan_out = self.table.count_item(key, failed=True)
        state, run = self.table.state, RunKey(ID, *key)
        return self.carry_out(
            propagate.after_failure(
                state, self.definition, run, now=self.now, error={}, grace=GRACE, fan_out=fan_out
            )
        )

    def end_if_idle(self) -> list[Message]:
        """Do what is left of an ending execution once nothing of it runs any more."""
        return self.carry_out(termination.idle(self.table.state, self.definition, self.now))

    # --- the sweeps ---------------------------------------------------------------------------

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

    @property
    def _paused(self) -> bool:
        return self.table.state.status is ExecutionStatus.PAUSED

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
            if table.state.stopping:
                self.sends.now += self._revoke(key, row.epoch)
            else:
                crash = failures.crashed(
                    now=self.now, crashes=crashes, most=MAX_CRASHES, stall=None
                )
                table.apply(key, row.epoch, crash.transition)
                if crash.fails:
                    self.sends.now += self.after_failure(key)
                elif not crash.last_chance:
                    self.sends.now.append(table.message(key))
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
            failure = Failure(Reason.TIMEOUT, "TimedOut", {})
            if self.fail(key, row.epoch, row.attempts, failure) is None:
                self.sends.now += self.after_failure(key)
            table.close()

    def _wake(self) -> None:
        table = self.table
        waiting = [(StepStatus.WAITING, key) for key in self._due(StepStatus.WAITING, self.now)]
        late = self._due(StepStatus.RETRYING, self.now - LATE_RETRY)
        for status, key in waiting + [(StepStatus.RETRYING, key) for key in late]:
            row = table.rows[key]
            if not table.state.moving or row.status is not status:
                continue
            if row.wait_for is None:
                table.apply(key, row.epoch, transitions.wake(status, now=self.now))
                self.sends.now.append(table.message(key))
            elif not self.is_owed(key, row.epoch):
                over = transitions.answer_failed(
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
            if not table.state.moving:
                return
            if (row.queued_at or 0) + row.expires_in < self.now:
                table.apply(key, row.epoch, transitions.expire(now=self.now, error="{}", data={}))
                self.sends.now += self.after_failure(key)
                table.close()

    def _miss_deadline(self) -> None:
        table = self.table
        if table.deadline_at is not None and table.deadline_at <= self.now:
            plan = lifecycle.time_out(table.state, self.definition, now=self.now, grace=GRACE)
            if plan.orders:
                self.sends.now += self.carry_out(plan)
                table.close()

    def _end_execution(self) -> None:
        table, state = self.table, self.table.state
        owed = table.due_at is not None and table.due_at <= self.now
        if not owed or state.over or self._paused or state.status is ExecutionStatus.PENDING:
            return
        if state.ending is None:
            self.sends.dispatch = True
            table.due_at = self.now + 5 * QUIET
        elif table.interrupting:
            self._end_now()
        elif state.stopping:
            if state.active == 0:
                self.sends.now += self.end_if_idle()
            else:
                self.carry_out(lifecycle.interrupt(state, now=self.now, grace=INTERRUPT))
            table.close()

    def _end_now(self) -> None:
        table = self.table
        if not table.state.stopping:
            return
        for key in table.running():
            self.sends.now += self._revoke(key, table.rows[key].epoch)
        self.sends.now += self.end_if_idle()
        table.close()

    def _send_lost(self) -> None:
        table, state = self.table, self.table.state
        forgot, self.broker_forgot = self.broker_forgot, False
        before = self.now if forgot else self.now - QUIET if self.broker_is_empty else 0
        for key in self._due(StepStatus.QUEUED, before):
            row = table.rows[key]
            due_at, queued_at = row.due_at or 0, row.queued_at or 0
            patient = self.now - due_at >= due_at - queued_at
            if row.reason != Reason.WORKER_CRASHED and (forgot or patient):
                row.due_at = self.now
                self.sends.now.append(table.message(key))
        pending = state.status is ExecutionStatus.PENDING and state.ending is None
        if pending and table.due_at is not None and table.due_at < before:
            table.due_at = self.now
            self.sends.dispatch = True

    def fail(self, key: Key, epoch: int, attempt: int, failure: Failure) -> int | None:
        """End an attempt that failed; return the µs until the next one, None if there is none."""
        policy, state = self.definition.steps[key[0]].retry, self.table.state
        verdict = failures.judge(policy, RunKey(ID, *key), failure, attempt=attempt)
        again = verdict.retries(state)
        self.table.apply(key, epoch, verdict.transition(state, now=self.now))
        return verdict.delay if again else None

    def _revoke(self, key: Key, epoch: int) -> list[Message]:
        self.table.apply(key, epoch, failures.revoked(self.table.state, now=self.now))
        return self.end_if_idle()
