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
from engine.flow.outgoing import Sends
from engine.recovery.redelivery import BATCH
from engine.recovery.sweeper import Sweeper
from engine.store.recovery import liveness, lost_steps
from engine.store.writes import fan_outs, outbox
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import RunRow, Ticket

LATE_RETRY = 1_000_000  # µs beyond due_at after which a retry's own message counts as lost
NARROW_FOR = 1_000_000  # µs after which a fan-out that has not ended is opened wider


@dataclass(frozen=True, slots=True)
class DueSteps:
    """Moves on what is due."""

    sweeper: Sweeper

    def wake(self, sends: Sends, now: int) -> None:
        """Queue what is parked and due. A retry has a message of its own: it gets a head start."""
        apart = self.sweeper.quarantined()

        def parked(connection: Any) -> list[RunRow]:
            late = now - LATE_RETRY
            waiting = lost_steps.due(connection, [StepStatus.WAITING], now, BATCH, apart)
            return waiting + lost_steps.due(connection, [StepStatus.RETRYING], late, BATCH, apart)

        for run in self.sweeper.database.read(parked):
            self.sweeper.each(run, sends, self._wake_one)

    def _wake_one(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        if not tx.state.moving:
            return []
        if run.wait_for is not None:
            if outbox.is_pending(tx.connection, run.key, run.epoch):
                return []  # it came in time, only the message that brings it is late
            sweeper = self.sweeper
            journal = Journal(sweeper.versions)
            deliverer = Deliverer(sweeper.database, sweeper.definition(tx), journal, sweeper.grace)
            return expire_wait(deliverer, tx, run)
        tx.apply(run.key, run.epoch, transitions.wake(run.status, now=tx.now))
        return [run.ticket]

    def widen(self, sends: Sends, now: int) -> None:
        """Open fan-outs wider that have not ended soon: their items may be long."""
        sweeper, apart = self.sweeper, self.sweeper.quarantined()
        narrow = sweeper.database.read(
            lambda connection: fan_outs.narrow(connection, now - NARROW_FOR, BATCH, apart)
        )
        if not narrow:
            return
        alive = now - int(sweeper.settings.lease_seconds * 1e6)
        threads = sweeper.database.read(lambda connection: liveness.threads(connection, alive))
        for one in narrow:
            serving = threads.get(one.queue, 0)
            if one.more(serving):
                widen = partial(_widen_one, key=one.key, threads=serving)
                sweeper.change(one.key.execution_id, sends, widen)

    def expire(self, sends: Sends, now: int) -> None:
        """Fail step runs that were queued for longer than they may be."""
        apart = self.sweeper.quarantined()
        rows = self.sweeper.database.read(
            lambda connection: lost_steps.expired(connection, now, BATCH, apart)
        )
        for run in rows:
            self.sweeper.each(run, sends, self._expire_one)

    def _expire_one(self, tx: ExecutionTx, run: RunRow) -> list[Ticket]:
        if not tx.state.moving:
            return []
        return expire(tx, self.sweeper.definition(tx), run, grace=self.sweeper.grace)


def _widen_one(tx: ExecutionTx, key: RunKey, threads: int) -> list[Ticket]:
    return fan_outs.widen(tx, key, threads) if tx.state.moving else []
