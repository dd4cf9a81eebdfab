"""Claims that nobody works on any more: of dead workers, of threads that overran, of the poisonous.

A claim that is taken back gets a new epoch, which makes stale whatever its worker still sends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.codec import encode
from engine.core import retry as retries
from engine.core import transitions
from engine.core.stall import describe_crash
from engine.core.status import ExecutionStatus, Reason
from engine.definition.model import ACTOR_QUEUE, SHORT_QUEUE
from engine.flow.ending import end_if_idle
from engine.flow.follow import after_failure
from engine.flow.sends import Sends
from engine.rescue.resend import BATCH
from engine.rescue.turns import Turns
from engine.store import letters, liveness, lost_steps
from engine.store.execution_tx import ExecutionTx, Line
from engine.store.steps import RunRow, Ticket

HEAD_START = 60_000_000  # µs that a step run on its last chance is kept apart from others on theirs
ALONE_AGAIN = 15_000_000  # µs for which its message may be on its way before the next has its turn


@dataclass(frozen=True, slots=True)
class ClaimRescue:
    """Takes claims back, and sends step runs on their last chance one at a time."""

    turns: Turns

    def take_from_the_dead(self, sends: Sends, dead_before: int | None) -> None:
        """Take back the claims of workers that ended, or whose last beat is before this (µs)."""
        turns, resting = self.turns, self.turns.resting()
        rows = turns.database.read(
            lambda connection: lost_steps.abandoned(
                connection, dead_before=dead_before, limit=BATCH, but=resting
            )
        )
        for run in rows:
            turns.each(run, sends, self._crash)

    def give_back(self, run: RunRow, sends: Sends) -> None:
        """Take back one claim that no thread of its worker works on."""
        self.turns.each(run, sends, self._crash)

    def _crash(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        if tx.state.stopping:
            return revoke(self.turns, tx, run)
        stall = liveness.stall_of(tx.connection, run.worker_id)
        if stall is not None and not stall.blames(run.key, run.epoch):
            return self._spare(tx, run)
        crashes, most = run.crashes + 1, self.turns.settings.max_crashes
        described = describe_crash(stall, crashes)
        text = encode(described)
        if crashes < most:
            last = crashes == most - 1
            crashed = transitions.crash(now=tx.now, crashes=crashes, last_chance=last, error=text)
            tx.apply(run.key, run.epoch, crashed)
            tx.log([_line(run, tx.now, "warning", f"{described['message']}: it runs again")])
            return [] if last else [replace(run.ticket, epoch=run.epoch + 1)]
        over = transitions.crash_out(now=tx.now, error=text, data=described)
        tx.apply(run.key, run.epoch, over)
        tx.log([_line(run, tx.now, "error", described["message"])])
        letters.keep_poison(tx, run, text)
        return self._fail(tx, run, described)

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
        database, settings = self.turns.database, self.turns.settings
        now = database.now()

        def next_one(connection: Any) -> RunRow | None:
            alive = now - int(settings.lease_seconds * 1e6)
            queues = set(liveness.threads(connection, alive))
            if SHORT_QUEUE in queues:
                queues.add(ACTOR_QUEUE)  # what is owed to an actor goes through a worker of ours
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
        turns, resting = self.turns, self.turns.resting()
        rows = turns.database.read(
            lambda connection: lost_steps.overrun(connection, now, BATCH, resting)
        )
        for run in rows:
            turns.each(run, sends, self._time_out)

    def _time_out(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        policy = self.turns.definition(tx).steps[run.step].retry
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
        if isinstance(decision, retries.Retry) and not tx.state.stopping:
            due_at = tx.now + decision.delay_us
            again = transitions.retry(
                due_at=due_at, reason=Reason.TIMEOUT, error=text, data=described
            )
            tx.apply(run.key, run.epoch, again)
            return []
        over = transitions.fail(now=tx.now, reason=Reason.TIMEOUT, error=text, data=described)
        tx.apply(run.key, run.epoch, over)
        return self._fail(tx, run, described)

    def _fail(self, tx: ExecutionTx, run: RunRow, described: dict[str, Any]) -> list[Ticket]:
        definition, grace = self.turns.definition(tx), self.turns.grace
        return after_failure(tx, definition, run.key, error=described, grace=grace)


def revoke(turns: Turns, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
    """Revoke a claim of an execution that ends; return what becomes ready by it."""
    ending = tx.state.ending or ExecutionStatus.FAILED
    tx.apply(run.key, run.epoch, transitions.revoke(now=tx.now, ending=ending))
    return end_if_idle(tx, turns.definition(tx))


def _line(run: RunRow, now: int, level: str, message: str) -> Line:
    return Line(run.step, run.item, run.attempts, now, level, message)
