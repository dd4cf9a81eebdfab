"""Find what is owed and has nobody to carry it out; harmless when it is wrong.

A sweep takes claims from dead workers and overdue threads (a new epoch makes what they still
send stale), wakes what is parked, and sends messages again. A message is sent again only on
evidence that it was lost, and without a new epoch: the first claim wins, so that under backlog
no queued message is made stale, which would be a livelock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from engine.codec import encode
from engine.definition import Definition
from engine.errors import InvalidDocument, NotFound, StaleClaim, Unavailable
from engine.flow.commit import commit
from engine.flow.deliver import Deliverer, expire_wait
from engine.flow.ending import end_if_idle, start_ending
from engine.flow.evidence import QUIET, Evidence, forgot
from engine.flow.expiry import expire
from engine.flow.follow import after_failure
from engine.flow.journal import Journal
from engine.flow.sends import Look, Sends
from engine.flow.versions import Versions
from engine.machine import change
from engine.machine import retry as retries
from engine.machine.change import RunKey
from engine.machine.event import EventType
from engine.machine.stall import describe_crash
from engine.machine.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.resend import BATCH, LEASE, Resend
from engine.settings import Settings
from engine.store import (
    executions,
    fan_outs,
    glance,
    letters,
    liveness,
    notices,
    overdue,
    patience,
    steps,
)
from engine.store.database import Database
from engine.store.steps import RunRow, Ticket
from engine.store.turn import Line, Turn

SWEEPS = 5  # for which the lease to sweep holds: when its holder dies, another goes on after them
LATE_RETRY = 1_000_000  # µs beyond due_at after which a retry's own message counts as lost
NARROW_FOR = 1_000_000  # µs after which a fan-out that has not ended is opened wider
HEAD_START = 60_000_000  # µs that a step run on its last chance is kept apart from others on theirs
ALONE_AGAIN = 15_000_000  # µs after which its message is sent again if nobody has claimed it
HELD_AGAIN = 10.0  # seconds until an execution that another transaction holds is tried again

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Rescue:
    """Sweeps for one worker process, while it holds the lease."""

    settings: Settings
    database: Database
    versions: Versions
    evidence: Evidence
    look: Callable[[Look], None]
    _held: dict[str, float] = field(default_factory=dict)  # until when, by ``time.monotonic``

    def sweep(self, holder: str, *, steady: bool) -> Sends:
        """Sweep once if the lease is ``holder``'s; return the messages to send.

        Args:
            holder: the worker's id.
            steady: whether the worker's own beats have committed without a gap for a whole
                lease. If not, a database that was away is likelier than the death of others.
        """
        sends = Sends()
        now = self.database.now()
        length = int(self.settings.lease_seconds * 1e6)
        if not self._holds_lease(holder, now):
            return sends
        if not self.database.read(lambda connection: glance.anything_owed(connection, now)):
            # Noted, or it would count against messages yet to be sent.
            forgot(self.evidence, self.database, LEASE)
            return sends
        self._take_from_the_dead(sends, now - length if steady else None)
        self._try_last_chance(sends)
        self._end_overdue(sends, now)
        self._wake(sends, now)
        self._widen(sends, now)
        self._expire(sends, now)
        self._end_late(sends, now)
        self._end_executions(sends, now)
        Resend(self.database, self.versions, self.evidence).send_lost(sends, now, now - length)
        return sends

    def _holds_lease(self, holder: str, now: int) -> bool:
        """Return whether the lease is the holder's for this sweep; take it when it is free.

        Each worker asks each second, so it looks first, and renews a lease only when half is over.
        """
        length = int(self.settings.sweep_seconds * SWEEPS * 1e6)
        found = self.database.read(lambda connection: liveness.lease(connection, LEASE))
        if found is not None and found.until >= now:
            if found.holder != holder:
                return False
            if found.until > now + length // 2:
                return True
        return self.database.write(
            lambda connection: liveness.take_lease(connection, LEASE, holder, now, length)
        )

    # --- claims -------------------------------------------------------------------------------

    def _take_from_the_dead(self, sends: Sends, dead_before: int | None) -> None:
        rows = self.database.read(
            lambda connection: liveness.abandoned(connection, dead_before=dead_before, limit=BATCH)
        )
        for run in rows:
            self._each(run, sends, self._crash)

    def give_back(self, run: RunRow) -> Sends:
        """Give back a claim that no thread of this worker works on: its commit was lost.

        It counts as a crash, so that a step whose settlement fails each time comes to an end.
        """
        sends = Sends()
        self._each(run, sends, self._crash)
        return sends

    def _crash(self, taken: Turn, run: RunRow) -> list[Ticket]:
        if taken.head.stopping:
            return self._revoke(taken, run)
        stall = liveness.stall_of(taken.connection, run.worker_id)
        if stall is not None and not stall.blames(run.key, run.epoch):
            return self._spare(taken, run)
        crashes, most = run.crashes + 1, self.settings.max_crashes
        described = describe_crash(stall, crashes)
        text = encode(described)
        if crashes < most:
            last = crashes == most - 1
            crashed = change.crash(now=taken.now, crashes=crashes, last_chance=last, error=text)
            taken.apply(run.key, run.epoch, crashed)
            taken.log([_line(run, taken.now, "warning", f"{described['message']}: it runs again")])
            return [] if last else [replace(run.ticket, epoch=run.epoch + 1)]
        over = change.crash_out(now=taken.now, error=text, data=described)
        taken.apply(run.key, run.epoch, over)
        taken.log([_line(run, taken.now, "error", described["message"])])
        letters.keep_poison(taken, run, text)
        return self._fail(taken, run, described)

    def _spare(self, taken: Turn, run: RunRow) -> list[Ticket]:
        """Give back the claim of a step run whose worker was ended for another's fault."""
        taken.apply(run.key, run.epoch, change.release(now=taken.now))
        said = "its worker was ended because another step kept the interpreter's lock"
        taken.log([_line(run, taken.now, "warning", f"{said}: it runs again, and no crash counts")])
        return [replace(run.ticket, epoch=run.epoch + 1)]

    def _try_last_chance(self, sends: Sends) -> None:
        """Send one of the step runs that may crash no more, when no other of them runs.

        Of those that died together one is at fault. Sent together they would die together again,
        and the innocent would be failed with it.
        """
        now = self.database.now()
        run = self.database.read(
            lambda connection: liveness.last_chance(
                connection, self.settings.max_crashes - 1, now - HEAD_START
            )
        )
        if run is not None and (run.due_at is None or run.due_at < now - ALONE_AGAIN):
            free = self.database.write(lambda c: liveness.sent_again(c, [run], now))
            sends.now += [run.ticket for run in free]

    def _revoke(self, taken: Turn, run: RunRow) -> list[Ticket]:
        ending = taken.head.ending or ExecutionStatus.FAILED
        taken.apply(run.key, run.epoch, change.revoke(now=taken.now, ending=ending))
        return end_if_idle(taken, self._definition(taken))

    def _end_overdue(self, sends: Sends, now: int) -> None:
        """Settle claims whose thread outlived its timeout although it was interrupted."""
        rows = self.database.read(lambda connection: liveness.overrun(connection, now, BATCH))
        for run in rows:
            self._each(run, sends, self._time_out)

    def _time_out(self, taken: Turn, run: RunRow) -> list[Ticket]:
        policy = self._definition(taken).steps[run.step].retry
        decision = retries.decide(
            policy,
            attempts=run.attempts,
            reason=Reason.TIMEOUT,
            error_type="TimedOut",
            retryable=True,
            seed=f"{run.execution_id}.{run.step}.{run.item}",
        )
        described: dict[str, Any] = {
            "message": "ran longer than its timeout and ignored the interruption",
            "type": "TimedOut",
            "attempt": run.attempts,
            "of": policy.attempts,
        }
        text = encode(described)
        if isinstance(decision, retries.Retry) and not taken.head.stopping:
            due_at = taken.now + decision.delay_us
            again = change.retry(due_at=due_at, reason=Reason.TIMEOUT, error=text, data=described)
            taken.apply(run.key, run.epoch, again)
            return []
        over = change.fail(now=taken.now, reason=Reason.TIMEOUT, error=text, data=described)
        taken.apply(run.key, run.epoch, over)
        return self._fail(taken, run, described)

    def _fail(self, taken: Turn, run: RunRow, described: dict[str, Any]) -> list[Ticket]:
        return after_failure(
            taken, self._definition(taken), run.key, error=described, grace=self._grace
        )

    # --- parked and queued --------------------------------------------------------------------

    def _wake(self, sends: Sends, now: int) -> None:
        """Queue what is parked and due. A retry has a message of its own: it gets a head start."""

        def parked(connection: Any) -> list[RunRow]:
            late = now - LATE_RETRY
            waiting = liveness.due(connection, [StepStatus.WAITING], now, BATCH)
            return waiting + liveness.due(connection, [StepStatus.RETRYING], late, BATCH)

        for run in self.database.read(parked):
            self._each(run, sends, self._wake_one)

    def _wake_one(self, taken: Turn, run: RunRow) -> list[Ticket]:
        if not taken.head.moving:
            return []
        if run.wait_for is not None:
            if notices.is_owed(taken.connection, run.key, run.epoch):
                return []  # it came in time, only the message that brings it is late
            definition = self._definition(taken)
            deliverer = Deliverer(self.database, definition, Journal(self.versions), self._grace)
            return expire_wait(deliverer, taken, run)
        taken.apply(run.key, run.epoch, change.wake(run.status, now=taken.now))
        return [run.ticket]

    def _widen(self, sends: Sends, now: int) -> None:
        """Open fan-outs wider that have not ended soon: their items may be long."""
        narrow = self.database.read(
            lambda connection: fan_outs.narrow(connection, now - NARROW_FOR, BATCH)
        )
        if not narrow:
            return
        alive = now - int(self.settings.lease_seconds * 1e6)
        threads = self.database.read(lambda connection: liveness.threads(connection, alive))
        for one in narrow:
            serving = threads.get(one.queue, 0)
            if one.more(serving):
                widen = partial(_widen_one, key=one.key, threads=serving)
                self._turn(one.key.execution_id, sends, widen)

    def _expire(self, sends: Sends, now: int) -> None:
        """Fail step runs that were queued for longer than they may be."""
        for run in self.database.read(lambda connection: liveness.expired(connection, now, BATCH)):
            self._each(run, sends, self._expire_one)

    def _expire_one(self, taken: Turn, run: RunRow) -> list[Ticket]:
        if not taken.head.moving:
            return []
        return expire(taken, self._definition(taken), run, grace=self._grace)

    # --- executions ---------------------------------------------------------------------------

    def _end_executions(self, sends: Sends, now: int) -> None:
        """End what was told to end and whose grace is over; finish what nobody finished."""
        rows = self.database.read(lambda connection: overdue.overdue(connection, now, BATCH))
        later = now + 5 * QUIET
        for row in rows:
            if not row.ending:
                sends.dispatches.append(row.id)
            elif row.interrupting:
                self.end_now(row.id, sends)
            else:
                self._turn(row.id, sends, self._interrupt)
        unfinished = [row.id for row in rows if not row.ending]
        if unfinished:
            self.database.write(lambda connection: overdue.postpone(connection, unfinished, later))

    def _interrupt(self, taken: Turn) -> list[Ticket]:
        if not taken.head.stopping or taken.head.over:
            return []
        if taken.head.active == 0:
            return end_if_idle(taken, self._definition(taken))
        grace = int(self.settings.cancel_interrupt_seconds * 1e6)
        executions.interrupt(taken, grace=grace)
        return []

    def end_now(self, execution_id: str, sends: Sends) -> None:
        """Revoke what still runs of an execution that was told to end, and end it."""

        def move(taken: Turn) -> list[Ticket]:
            if not taken.head.stopping:
                return []
            tickets: list[Ticket] = []
            for run in steps.running(taken.connection, execution_id):
                tickets += self._revoke(taken, run)
            return tickets + end_if_idle(taken, self._definition(taken))

        self._turn(execution_id, sends, move)

    def _end_late(self, sends: Sends, now: int) -> None:
        """Fail executions whose deadline is over."""
        for execution_id in self.database.read(
            lambda connection: overdue.late(connection, now, BATCH)
        ):
            self._turn(execution_id, sends, self._miss_deadline)

    def _miss_deadline(self, taken: Turn) -> list[Ticket]:
        head = taken.head
        if head.over or head.ending is not None or head.phase is not Phase.STEPS:
            return []
        definition = self._definition(taken)
        seconds = definition.timeout or 0
        described = {"message": f"it took longer than its {seconds:g} s", "type": "TimedOut"}
        taken.set(error=encode({**described, "step": None}))
        taken.emit(EventType.TIMED_OUT, until=taken.now + self._grace)
        return start_ending(
            taken,
            definition,
            ExecutionStatus.FAILED,
            grace=self._grace,
            reason=Reason.TIMEOUT,
        )

    # --- helpers ------------------------------------------------------------------------------

    @property
    def _grace(self) -> int:
        return int(self.settings.cancel_grace_seconds * 1e6)

    def _definition(self, taken: Turn) -> Definition:
        return self.versions.get(taken.head.workflow_id, taken.head.version)

    def _each(
        self, run: RunRow, sends: Sends, move: Callable[[Turn, RunRow], list[Ticket]]
    ) -> None:
        """Make one move in a turn of its own; a row that moved on meanwhile needs none."""
        self._turn(run.execution_id, sends, lambda taken: move(taken, run))

    def _turn(self, execution_id: str, sends: Sends, move: Callable[[Turn], list[Ticket]]) -> None:
        if self._held.get(execution_id, 0.0) > time.monotonic():
            return

        def work(taken: Turn) -> tuple[list[Ticket], Look]:
            return move(taken), Look.of(taken.head)

        try:
            journal, first = Journal(self.versions), patience.impatient
            tickets, look = commit(self.database, execution_id, work, journal, sends, first=first)
        except (StaleClaim, NotFound):
            return
        except Unavailable as error:
            self._leave(execution_id, error)
            return
        except InvalidDocument as error:
            # One version that this code cannot read must not stop the sweep for all others.
            _log.warning("execution %s cannot be looked after: %s", execution_id, error.message)
            return
        self._held.pop(execution_id, None)
        self.look(look)
        sends.now += tickets

    def _leave(self, execution_id: str, error: Unavailable) -> None:
        """Leave an execution alone that another transaction holds: all others must not wait for it.

        A process that stands still in a transaction holds it until the server ends its session.

        Raises:
            Unavailable: it is the database that does not answer.
        """
        if not patience.is_held(error):
            raise error
        self._held[execution_id] = time.monotonic() + HELD_AGAIN
        _log.warning("execution %s is looked after later: %s", execution_id, error.message)


def _line(run: RunRow, now: int, level: str, message: str) -> Line:
    return Line(run.step, run.item, run.attempts, now, level, message)


def _widen_one(taken: Turn, key: RunKey, threads: int) -> list[Ticket]:
    return fan_outs.widen(taken, key, threads) if taken.head.moving else []
