"""The verbs over a :class:`Table`: plan, claim, settle, rescue, and what people do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from engine.core import lifecycle, termination, transitions
from engine.core.execution_state import ExecutionState
from engine.core.failures import Failure
from engine.core.plan import Plan
from engine.core.planning import expires_in, first_rows, window_of
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.errors import Conflict
from engine.worker.claim import DEADLINE_GRACE
from tests.support.model.rescue import GRACE, Notice, Rescue, Sends
from tests.support.model.table import Key, Message, Row, StaleError

_STARTABLE = (StepStatus.QUEUED, StepStatus.RETRYING, StepStatus.WAITING)


class Outcome(StrEnum):
    """What came of a call of user code."""

    RETURNED = "returned"
    FAILED = "failed"
    HOPELESS = "hopeless"  # failed, and knows that another attempt cannot end differently
    RELEASED = "released"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Work:
    """A step run as its worker read it, before it claims."""

    key: Key
    status: StepStatus
    epoch: int
    woken: bool
    steps_left: int
    phase: Phase


@dataclass(slots=True, eq=False)
class Claim:
    """A step run that a worker has taken."""

    work: Work
    worker: str
    attempt: int


@dataclass
class Model(Rescue):
    """One execution under way, with whoever works on it."""

    def pass_time(self, micros: int) -> None:
        """Let the clock go on."""
        self.now += micros
        self.table.now = self.now

    def drain_sends(self) -> Sends:
        """Return what is owed since the last call."""
        found, self.sends = self.sends, Sends()
        return found

    # --- dispatch -----------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Plan the execution if it is new, give answers, finish it if that was left."""
        table, state = self.table, self.table.state
        for notice in list(self.notices):
            self._answer(notice)
        if state.status is ExecutionStatus.PENDING:
            if state.ending is not None:
                return
            rows = first_rows(self.definition)
            ready = self.carry_out(lifecycle.begin(state, self.definition, rows, now=self.now))
            table.close()
            self.sends.now += ready
            finishable = not ready
        else:
            planned = state.status in (ExecutionStatus.RUNNING, ExecutionStatus.WAITING)
            finishable = planned and state.ending is None and state.steps_left == 0
        if finishable:
            self._finish()

    def _finish(self) -> None:
        self._complete_execution()
        self.table.close()

    def _complete_execution(self) -> None:
        self.carry_out(termination.complete(self.table.state, self.definition, None, now=self.now))

    def _answer(self, notice: Notice) -> None:
        table = self.table
        row = table.rows[notice.key]
        self.notices.remove(notice)
        if row.status is not StepStatus.WAITING or row.epoch != notice.epoch:
            self._offer(notice.at)
            return
        table.apply(
            notice.key, notice.epoch, transitions.answer(now=self.now, output="null", data={})
        )
        self.sends.now += self.after_success(notice.key, ran=True)
        table.close()

    # --- a worker's part ----------------------------------------------------------------------

    def load(self, message: Message) -> Work | None:
        """Read what the message speaks of; None when it is stale, doubled or early."""
        key, epoch = message[:2], message[2]
        row = self.table.rows.get(key)
        if row is None or row.epoch != epoch or row.status not in _STARTABLE:
            return None
        early = (row.due_at or 0) - self.now
        if row.status is not StepStatus.QUEUED and early > 0:
            self.sends.later.append((message, row.due_at or 0))
            return None
        woken = row.status is StepStatus.WAITING or row.woken
        state = self.table.state
        return Work(key, row.status, epoch, woken, state.steps_left, state.phase)

    def go(self, work: Work, worker: str) -> Claim | None:
        """Take the step run one move on; return the claim when user code is to be called now."""
        try:
            return self._go(work, worker)
        except StaleError:
            return None

    def _go(self, work: Work, worker: str) -> Claim | None:
        table, key = self.table, work.key
        row = table.rows[key]
        if not table.state.moving:
            raise StaleError("the execution ends or is paused: nothing new starts")
        if self._expired(row, work):
            table.apply(key, work.epoch, transitions.expire(now=self.now, error="{}", data={}))
            self.sends.now += self.after_failure(key)
            table.close()
            return None
        reason = self._skipped(key, row)
        if reason is not None:
            table.apply(key, work.epoch, transitions.skip(now=self.now, reason=reason))
            self._go_on(self.after_success(key, ran=False))
            return None
        if key[1] < 0 and key[0] in self.shape.items:
            self._go_on(self._expand(work))
            return None
        timeout = self.definition.steps[key[0]].timeout or 3600.0
        taken = transitions.claim(
            work.status,
            worker_id=worker,
            now=self.now,
            deadline=self.now + int(timeout * 1e6) + DEADLINE_GRACE,
            input="{}",
        )
        attempt = table.apply(key, work.epoch, taken)
        table.close()
        return Claim(work, worker, attempt)

    def _expired(self, row: Row, work: Work) -> bool:
        return (
            work.status is StepStatus.QUEUED
            and row.expires_in is not None
            and self.now - (row.queued_at or self.now) > row.expires_in
        )

    def _skipped(self, key: Key, row: Row) -> Reason | None:
        step = self.definition.steps[key[0]]
        if key[1] >= 0:
            return None
        failed = [self.table.rows[(need, -1)].status is StepStatus.FAILED for need in step.handles]
        undoes = step.compensates
        if step.handles and not any(failed):
            return Reason.NOT_NEEDED
        if undoes is not None and self.table.rows[(undoes, -1)].status is not StepStatus.COMPLETED:
            return Reason.NOT_NEEDED
        if step.needs and row.needs_ran == 0 and not step.closing:
            return Reason.NEEDS_SKIPPED
        return Reason.CONDITION_FALSE if key[0] in self.shape.false else None

    def _expand(self, work: Work) -> list[Message]:
        table, step = self.table, self.definition.steps[work.key[0]]
        count = self.shape.items[step.index]
        table.expect(work.key, work.epoch, StepStatus.QUEUED)
        table.insert_items(step.index, count, expires_in(step))
        window = window_of(step.max_parallel, count)
        expanded = transitions.expand(now=self.now, items=count, left=count, window=window)
        table.apply(work.key, work.epoch, expanded)
        table.state.runs_total += max(count, 1) - 1
        if count:
            return table.queue_items(step.index, 0, window)
        table.apply(work.key, work.epoch, transitions.join(now=self.now, items=0))
        return self.after_success(work.key, ran=True)

    def _go_on(self, ready: list[Message]) -> None:
        self.table.close()
        self.sends.now += ready
        if not ready and self.table.state.steps_left == 0:
            self._finish()

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Commit what came of a claim; return whether it was accepted."""
        try:
            self._settle(claim, outcome)
        except StaleError:
            return False
        return True

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        kind = self.shape.kind(claim.work.key[0])
        match outcome:
            case Outcome.RETURNED if kind == "signal" or (kind == "sleep" and not claim.work.woken):
                self._park(claim, kind)
            case Outcome.RETURNED:
                self._complete(claim)
            case Outcome.FAILED | Outcome.HOPELESS:
                self._fail(claim, retryable=outcome is Outcome.FAILED)
            case Outcome.RELEASED | Outcome.CANCELLED:
                self._give_up(claim, sent=outcome is Outcome.RELEASED)

    def _complete(self, claim: Claim) -> None:
        work, table = claim.work, self.table
        table.apply(work.key, work.epoch, transitions.complete(now=self.now, output="null"))
        ready = self.after_success(work.key, ran=True)
        ends = work.phase is Phase.CLOSING or not self.definition.closing
        if work.steps_left == 1 and work.key[1] < 0 and ends:
            self._complete_execution()
            table.close()
            return
        self._go_on(ready)

    def _fail(self, claim: Claim, *, retryable: bool) -> None:
        work, table = claim.work, self.table
        failure = Failure(Reason.ERROR, "ValueError", {}, retryable)
        if self.fail(work.key, work.epoch, claim.attempt, failure) is not None:
            table.close()
            row = table.rows[work.key]
            self.sends.later.append((table.message(work.key), row.due_at or 0))
            return
        self._go_on(self.after_failure(work.key))

    def _park(self, claim: Claim, kind: str) -> None:
        work, table = claim.work, self.table
        if table.state.stopping:
            self._go_on(self._revoke(work.key, work.epoch))
            return
        given = self.definition.document["steps"][self.definition.steps[work.key[0]].name]["with"]
        until = self.now + 30_000_000 if kind == "sleep" else None
        if "deadline" in given:
            until = self.now + 60_000_000
        wait_for = "signal:go:" if kind == "signal" else None
        parked = transitions.park(now=self.now, until=until, wait_for=wait_for, data={})
        table.apply(work.key, work.epoch, parked)
        if kind == "signal" and False in self.taken:
            self._owe(work.key, work.epoch + 1, self.taken.index(False))
        self._go_on([])

    def _give_up(self, claim: Claim, *, sent: bool) -> None:
        work, table = claim.work, self.table
        if table.state.stopping:
            self.sends.now += self._revoke(work.key, work.epoch)
        else:
            table.apply(work.key, work.epoch, transitions.release(now=self.now))
        table.close()
        if sent:
            self.sends.now.append((*work.key, work.epoch + 1))

    # --- what people do -----------------------------------------------------------------------

    def cancel(self) -> bool:
        """Cancel the execution; return whether that was possible."""
        return self._steer(
            lambda state: lifecycle.cancel(
                state, self.definition, now=self.now, grace=GRACE, note=None
            )
        )

    def pause(self) -> bool:
        """Pause the execution; return whether that was possible."""
        return self._steer(lambda state: lifecycle.pause(state, now=self.now, note=None))

    def resume(self) -> bool:
        """Let it go on; return whether that was possible."""
        due = self.table.due_at is not None and self.table.due_at <= self.now
        return self._steer(lambda state: lifecycle.resume(state, now=self.now, due=due))

    def _steer(self, decide: Callable[[ExecutionState], Plan]) -> bool:
        try:
            plan = decide(self.table.state)
        except Conflict:
            return False
        self.sends.now += self.carry_out(plan)
        self.table.close()
        return True

    def signal(self) -> bool:
        """Send the signal that steps of the shapes wait for; return whether that was possible."""
        if self.table.state.over:
            return False
        self.taken.append(False)
        self._offer(len(self.taken) - 1)
        return True

    def _offer(self, at: int) -> None:
        """Owe the signal to the first that waits, or to nobody."""
        self.taken[at] = False
        for key in sorted(self.table.rows):
            row = self.table.rows[key]
            waits = row.status is StepStatus.WAITING and row.wait_for is not None
            if waits and not self.is_owed(key, row.epoch):
                self._owe(key, row.epoch, at)
                return

    def _owe(self, key: Key, epoch: int, at: int) -> None:
        self.taken[at] = True
        self.notices.append(Notice(key, epoch, self.now, at))
        self.sends.dispatch = True
