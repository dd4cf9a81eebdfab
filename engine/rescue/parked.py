"""What waits for its time: parked step runs, narrow fan-outs, what was queued for too long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.core import transitions
from engine.core.status import StepStatus
from engine.core.transitions import RunKey
from engine.flow.expiry import expire
from engine.flow.journal import Journal
from engine.flow.message_delivery import Deliverer, expire_wait
from engine.flow.sends import Sends
from engine.rescue.resend import BATCH
from engine.rescue.turns import Turns
from engine.store import fan_outs, liveness, lost_steps, notices
from engine.store.execution_tx import ExecutionTx
from engine.store.steps import RunRow, Ticket

LATE_RETRY = 1_000_000  # µs beyond due_at after which a retry's own message counts as lost
NARROW_FOR = 1_000_000  # µs after which a fan-out that has not ended is opened wider


@dataclass(frozen=True, slots=True)
class ParkedRescue:
    """Moves on what is due."""

    turns: Turns

    def wake(self, sends: Sends, now: int) -> None:
        """Queue what is parked and due. A retry has a message of its own: it gets a head start."""
        resting = self.turns.resting()

        def parked(connection: Any) -> list[RunRow]:
            late = now - LATE_RETRY
            waiting = lost_steps.due(connection, [StepStatus.WAITING], now, BATCH, resting)
            return waiting + lost_steps.due(connection, [StepStatus.RETRYING], late, BATCH, resting)

        for run in self.turns.database.read(parked):
            self.turns.each(run, sends, self._wake_one)

    def _wake_one(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        if not tx.state.moving:
            return []
        if run.wait_for is not None:
            if notices.is_owed(tx.connection, run.key, run.epoch):
                return []  # it came in time, only the message that brings it is late
            turns = self.turns
            journal = Journal(turns.versions)
            deliverer = Deliverer(turns.database, turns.definition(tx), journal, turns.grace)
            return expire_wait(deliverer, tx, run)
        tx.apply(run.key, run.epoch, transitions.wake(run.status, now=tx.now))
        return [run.ticket]

    def widen(self, sends: Sends, now: int) -> None:
        """Open fan-outs wider that have not ended soon: their items may be long."""
        turns, resting = self.turns, self.turns.resting()
        narrow = turns.database.read(
            lambda connection: fan_outs.narrow(connection, now - NARROW_FOR, BATCH, resting)
        )
        if not narrow:
            return
        alive = now - int(turns.settings.lease_seconds * 1e6)
        threads = turns.database.read(lambda connection: liveness.threads(connection, alive))
        for one in narrow:
            serving = threads.get(one.queue, 0)
            if one.more(serving):
                widen = partial(_widen_one, key=one.key, threads=serving)
                turns.take(one.key.execution_id, sends, widen)

    def expire(self, sends: Sends, now: int) -> None:
        """Fail step runs that were queued for longer than they may be."""
        resting = self.turns.resting()
        rows = self.turns.database.read(
            lambda connection: lost_steps.expired(connection, now, BATCH, resting)
        )
        for run in rows:
            self.turns.each(run, sends, self._expire_one)

    def _expire_one(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        if not tx.state.moving:
            return []
        return expire(tx, self.turns.definition(tx), run, grace=self.turns.grace)


def _widen_one(tx: ExecutionTx, key: RunKey, threads: int) -> list[Ticket]:
    return fan_outs.widen(tx, key, threads) if tx.state.moving else []
