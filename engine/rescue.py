"""Find what is owed and has nobody to carry it out; harmless when it is wrong.

A sweep takes claims from dead workers and overdue threads (a new epoch makes what they still
send stale), wakes what is parked, and sends messages again. A message is sent again only on
evidence that it was lost, and without a new epoch: the first claim wins, so that under backlog
no queued message is made stale, which would be a livelock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.codec import encode
from engine.errors import NotFound, StaleClaim
from engine.flow.commit import commit
from engine.flow.follow import after_failure
from engine.flow.journal import Journal
from engine.flow.sends import Look, Sends
from engine.flow.versions import Versions
from engine.machine import change
from engine.machine import retry as retries
from engine.machine.change import RunKey
from engine.machine.status import ExecutionStatus, Reason, StepStatus
from engine.settings import Settings
from engine.store import executions, liveness, steps
from engine.store.database import Database
from engine.store.steps import RunRow, Ticket
from engine.store.turn import Turn

LEASE = "rescue"
QUEUES = ("steps", "steps.long")
BATCH = 500
HELD = 10_000_000  # µs that a worker may hold a message it has not begun
SWEEPS = 5  # for which the lease to sweep holds: when its holder dies, another goes on after them
QUIET = 2_000_000  # µs that a message may be on its way before evidence counts against it
LATE_RETRY = 1_000_000  # µs beyond due_at after which a retry's own message counts as lost
HEAD_START = 60_000_000  # µs that a step run on its last chance is kept apart from others on theirs
ALONE_AGAIN = 15_000_000  # µs after which its message is sent again if nobody has claimed it
UNKNOWN_AGAIN = 15_000_000  # µs until a step that no live worker knows is looked at again

_log = logging.getLogger(__name__)


class Evidence(Protocol):
    """What the broker can tell about its messages."""

    def generation(self) -> str:
        """Return a word that changes whenever the broker has lost its memory."""
        ...

    def is_empty(self, queue: str) -> bool:
        """Return whether no message waits in ``queue`` to be fetched."""
        ...

    def is_idle(self, queue: str) -> bool:
        """Return whether ``queue`` has no message at all, not even one that a worker holds."""
        ...


@dataclass(slots=True)
class Rescue:
    """Sweeps for one worker process, while it holds the lease."""

    settings: Settings
    database: Database
    versions: Versions
    evidence: Evidence
    look: Callable[[Look], None]

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
        mine = int(self.settings.sweep_seconds * SWEEPS * 1e6)
        if not self.database.write(
            lambda connection: liveness.take_lease(connection, LEASE, holder, now, mine)
        ):
            return sends
        self._take_from_the_dead(sends, now - length if steady else None)
        self._try_last_chance(sends)
        self._end_overdue(sends, now)
        self._wake(sends, now)
        self._end_executions(sends, now)
        self._send_lost(sends, now, now - length)
        return sends

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

    def _crash(self, taken: Turn, run: RunRow) -> Ticket | None:
        crashes = run.crashes + 1
        if taken.head.ending is not None:
            self._revoke(taken, run)
            return None
        if crashes < self.settings.max_crashes:
            last = crashes == self.settings.max_crashes - 1
            crashed = change.crash(now=taken.now, crashes=crashes, last_chance=last)
            taken.apply(_key(run), run.epoch, crashed)
            return None if last else _ticket(run, run.epoch + 1)
        described = {
            "message": f"its worker died {crashes} times while it ran",
            "type": "WorkerCrashed",
            "crashes": crashes,
        }
        over = change.crash_out(now=taken.now, error=encode(described), data=described)
        taken.apply(_key(run), run.epoch, over)
        self._fail(taken, run, described)
        return None

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
            self.database.write(lambda connection: liveness.sent_again(connection, [run], now))
            sends.now.append(_ticket(run, run.epoch))

    def _revoke(self, taken: Turn, run: RunRow) -> None:
        ending = taken.head.ending or ExecutionStatus.FAILED
        taken.apply(_key(run), run.epoch, change.revoke(now=taken.now, ending=ending))
        executions.end_if_idle(taken)

    def _end_overdue(self, sends: Sends, now: int) -> None:
        """Settle claims whose thread outlived its timeout although it was interrupted."""
        rows = self.database.read(
            lambda connection: liveness.due(connection, [StepStatus.RUNNING], now, BATCH)
        )
        for run in rows:
            self._each(run, sends, self._time_out)

    def _time_out(self, taken: Turn, run: RunRow) -> Ticket | None:
        policy = self.versions.get(taken.head.workflow_id, taken.head.version).steps[run.step].retry
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
        if isinstance(decision, retries.Retry) and taken.head.ending is None:
            due_at = taken.now + decision.delay_us
            again = change.retry(due_at=due_at, reason=Reason.TIMEOUT, error=text, data=described)
            taken.apply(_key(run), run.epoch, again)
            return None
        over = change.fail(now=taken.now, reason=Reason.TIMEOUT, error=text, data=described)
        taken.apply(_key(run), run.epoch, over)
        self._fail(taken, run, described)
        return None

    def _fail(self, taken: Turn, run: RunRow, described: dict[str, Any]) -> None:
        definition = self.versions.get(taken.head.workflow_id, taken.head.version)
        grace = int(self.settings.cancel_grace_seconds * 1e6)
        after_failure(taken, definition, _key(run), error=described, grace=grace)

    # --- parked -------------------------------------------------------------------------------

    def _wake(self, sends: Sends, now: int) -> None:
        """Queue what is parked and due. A retry has a message of its own: it gets a head start."""

        def parked(connection: Any) -> list[RunRow]:
            late = now - LATE_RETRY
            waiting = liveness.due(connection, [StepStatus.WAITING], now, BATCH)
            return waiting + liveness.due(connection, [StepStatus.RETRYING], late, BATCH)

        for run in self.database.read(parked):
            self._each(run, sends, self._wake_one)

    def _wake_one(self, taken: Turn, run: RunRow) -> Ticket | None:
        if not taken.head.moving:
            return None
        taken.apply(_key(run), run.epoch, change.wake(run.status, now=taken.now))
        return _ticket(run, run.epoch)

    # --- executions ---------------------------------------------------------------------------

    def _end_executions(self, sends: Sends, now: int) -> None:
        """End what was told to end and whose grace is over; finish what nobody finished."""
        rows = self.database.read(lambda connection: executions.overdue(connection, now, BATCH))
        later = now + 5 * QUIET
        for row in rows:
            if row.ending:
                self.end_now(row.id)
            else:
                sends.dispatches.append(row.id)
        unfinished = [row.id for row in rows if not row.ending]
        self.database.write(lambda connection: executions.postpone(connection, unfinished, later))

    def end_now(self, execution_id: str) -> None:
        """Revoke what still runs of an execution that was told to end, and end it."""

        def move(taken: Turn) -> Look:
            for run in steps.running(taken.connection, execution_id):
                self._revoke(taken, run)
            executions.end_if_idle(taken)
            return Look(taken.head.id, taken.head.owner_id, taken.head.workflow_id)

        self.look(commit(self.database, execution_id, move, Journal(self.versions)))

    # --- messages -----------------------------------------------------------------------------

    def _send_lost(self, sends: Sends, now: int, dead_before: int) -> None:
        """Send again what is owed and provably has no message on its way."""
        alive = self.database.read(lambda connection: liveness.alive(connection, dead_before))
        forgotten = self._broker_forgot()
        for queue in QUEUES:
            self._send_steps(sends, queue, now, alive, forgotten=forgotten)
        before = self._lost_before("dispatch", alive, now, forgotten=forgotten)
        self._send_dispatches(sends, before, now)
        self._send_unknown(sends, alive, now)

    def _broker_forgot(self) -> bool:
        """Return whether the broker lost its memory since the last sweep that looked."""
        generation = self.evidence.generation()
        known = self.database.read(lambda connection: liveness.lease_note(connection, LEASE))
        if known == generation:
            return False
        self.database.write(
            lambda connection: liveness.write_lease_note(connection, LEASE, generation)
        )
        return known is not None

    def _lost_before(self, queue: str, alive: liveness.Alive, now: int, *, forgotten: bool) -> int:
        """Return the time before which an unclaimed row's message is known to be lost."""
        if forgotten:
            return now
        if self.evidence.is_idle(queue):
            return now - QUIET
        mark = min(alive.watermarks.get(queue, 0), now - QUIET)
        # Nothing waits in the broker, but workers hold messages that they have not begun: these
        # are not lost, so it takes longer to believe that one is.
        return max(mark, now - HELD) if self.evidence.is_empty(queue) else mark

    def _send_steps(
        self, sends: Sends, queue: str, now: int, alive: liveness.Alive, *, forgotten: bool
    ) -> None:
        before = self._lost_before(queue, alive, now, forgotten=forgotten)
        rows = self.database.read(
            lambda connection: liveness.unclaimed(
                connection, queue, before, now, BATCH, patient=not forgotten
            )
        )
        if rows:
            _log.info("%d messages of %s were lost: sending them again", len(rows), queue)
        self.database.write(lambda connection: liveness.sent_again(connection, rows, now))
        sends.now += [_ticket(run, run.epoch) for run in rows]

    def _send_dispatches(self, sends: Sends, before: int, now: int) -> None:
        ids = self.database.read(
            lambda connection: executions.undispatched(connection, before, BATCH)
        )
        self.database.write(lambda connection: executions.postpone(connection, ids, now))
        sends.dispatches += ids

    def _send_unknown(self, sends: Sends, alive: liveness.Alive, now: int) -> None:
        """Send step runs that waited for their code to those who have it now."""
        rows = self.database.read(lambda connection: liveness.unknown(connection, now, BATCH))
        known: list[RunRow] = []
        for run in rows:
            pinned = self.database.read(
                lambda connection, run=run: executions.pinned(connection, run.execution_id)  # type: ignore[misc]
            )
            if pinned is not None:
                step = self.versions.get(pinned.workflow_id, pinned.version).steps[run.step]
                known += [run] if step.function in alive.functions else []
        later = now + UNKNOWN_AGAIN
        self.database.write(lambda connection: liveness.sent_again(connection, rows, later))
        sends.now += [_ticket(run, run.epoch) for run in known]

    # --- helpers ------------------------------------------------------------------------------

    def _each(
        self, run: RunRow, sends: Sends, move: Callable[[Turn, RunRow], Ticket | None]
    ) -> None:
        """Make one move in a turn of its own; a row that moved on meanwhile needs none."""

        def work(taken: Turn) -> tuple[Ticket | None, Look]:
            ticket = move(taken, run)
            return ticket, Look(taken.head.id, taken.head.owner_id, taken.head.workflow_id)

        try:
            ticket, look = commit(self.database, run.execution_id, work, Journal(self.versions))
        except (StaleClaim, NotFound):
            return
        self.look(look)
        if ticket is not None:
            sends.now.append(ticket)


def _key(run: RunRow) -> RunKey:
    return RunKey(run.execution_id, run.step, run.item)


def _ticket(run: RunRow, epoch: int) -> Ticket:
    return Ticket(run.execution_id, run.step, run.item, epoch, run.queue)
