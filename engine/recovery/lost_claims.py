"""Claims that nobody works on any more: of dead workers, of threads that overran, of the poisonous.

A claim that is taken back gets a new epoch, which makes stale whatever its worker still sends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.core import failures, transitions
from engine.core.failures import Failure
from engine.core.status import Reason
from engine.definition.model import ACTOR_QUEUE, SHORT_QUEUE
from engine.flow.outgoing import Sends
from engine.flow.transaction import after_failure, end_if_idle
from engine.recovery.redelivery import BATCH
from engine.recovery.sweeper import Sweeper
from engine.store.recovery import liveness, lost_steps
from engine.store.writes import dead_letters
from engine.store.writes.execution_tx import ExecutionTx, Line
from engine.store.writes.step_runs import RunRow, Ticket

HEAD_START = 60_000_000  # µs that a step run on its last chance is kept apart from others on theirs
_TIMED_OUT = Failure(
    Reason.TIMEOUT,
    "TimedOut",
    {
        "message": "ran longer than its timeout and ignored the interruption",
        "type": "TimedOut",
    },
)
ALONE_AGAIN = 15_000_000  # µs for which its message may be on its way before the next has its turn


@dataclass(frozen=True, slots=True)
class LostClaims:
    """Takes claims back, and sends step runs on their last chance one at a time."""

    sweeper: Sweeper

    def take_back(self, sends: Sends, dead_before: int | None) -> None:
        """Take back the claims of workers that ended, or whose last beat is before this (µs)."""
        sweeper, apart = self.sweeper, self.sweeper.quarantined()
        rows = sweeper.database.read(
            lambda connection: lost_steps.abandoned(
                connection, dead_before=dead_before, limit=BATCH, but=apart
            )
        )
        for run in rows:
            sweeper.each(run, sends, self._crash)

    def give_back(self, run: RunRow, sends: Sends) -> None:
        """Take back one claim that no thread of its worker works on."""
        self.sweeper.each(run, sends, self._crash)

    def _crash(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        if tx.state.stopping:
            return revoke(self.sweeper, tx, run)
        stall = liveness.stall_of(tx.connection, run.worker_id)
        if stall is not None and not stall.blames(run.key, run.epoch):
            return self._spare(tx, run)
        crash = failures.crashed(
            now=tx.now,
            crashes=run.crashes + 1,
            most=self.sweeper.settings.max_crashes,
            stall=stall,
        )
        tx.apply(run.key, run.epoch, crash.transition)
        message = crash.described["message"]
        if crash.fails:
            tx.log([_line(run, tx.now, "error", message)])
            dead_letters.keep_poison(tx, run, crash.error)
            return self._fail(tx, run, crash.described)
        tx.log([_line(run, tx.now, "warning", f"{message}: it runs again")])
        return [] if crash.last_chance else [replace(run.ticket, epoch=run.epoch + 1)]

    @staticmethod
    def _spare(tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        """Give back the claim of a step run whose worker was ended for another's fault."""
        tx.apply(run.key, run.epoch, transitions.release(now=tx.now))
        said = "its worker was ended because another step kept the interpreter's lock"
        tx.log([_line(run, tx.now, "warning", f"{said}: it runs again, and no crash counts")])
        return [replace(run.ticket, epoch=run.epoch + 1)]

    def try_last_chance(self, sends: Sends) -> None:
        """Send one of the step runs that may crash no more, when no other of them runs.

        Of those that died together one is at fault. Sent together they would die together again,
        and the innocent would be failed with it. One that nobody claims holds the others up for a
        moment only, and one that nobody could claim not at all.
        """
        database, settings = self.sweeper.database, self.sweeper.settings
        now = database.now()

        def next_one(connection: Any) -> RunRow | None:
            alive = now - int(settings.lease_seconds * 1e6)
            queues = set(liveness.threads(connection, alive))
            if SHORT_QUEUE in queues:
                queues.add(ACTOR_QUEUE)  # what an actor is to run goes through a worker of ours
            return lost_steps.last_chance(
                connection,
                settings.max_crashes - 1,
                queues,
                since=now - HEAD_START,
                sent_before=now - ALONE_AGAIN,
            )

        run = database.read(next_one)
        if run is not None:
            free = database.write(lambda c: lost_steps.sent_again(c, [run], now))
            sends.now += [one.ticket for one in free]

    def end_overdue(self, sends: Sends, now: int) -> None:
        """Settle claims whose thread outlived its timeout although it was interrupted."""
        sweeper, apart = self.sweeper, self.sweeper.quarantined()
        rows = sweeper.database.read(
            lambda connection: lost_steps.overrun(connection, now, BATCH, apart)
        )
        for run in rows:
            sweeper.each(run, sends, self._time_out)

    def _time_out(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        policy = self.sweeper.definition(tx).steps[run.step].retry
        verdict = failures.judge(policy, run.key, _TIMED_OUT, attempt=run.attempts)
        again = verdict.retries(tx.state)
        tx.apply(run.key, run.epoch, verdict.transition(tx.state, now=tx.now))
        return [] if again else self._fail(tx, run, verdict.described)

    def _fail(self, tx: ExecutionTx, run: RunRow, described: dict[str, Any]) -> list[Ticket]:
        definition, grace = self.sweeper.definition(tx), self.sweeper.grace
        return after_failure(tx, definition, run.key, error=described, grace=grace)


def revoke(sweeper: Sweeper, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
    """Revoke a claim of an execution that ends; return what becomes ready by it."""
    tx.apply(run.key, run.epoch, failures.revoked(tx.state, now=tx.now))
    return end_if_idle(tx, sweeper.definition(tx))


def _line(run: RunRow, now: int, level: str, message: str) -> Line:
    return Line(run.step, run.item, run.attempts, now, level, message)
