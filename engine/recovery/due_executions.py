"""Executions whose end is due: told to end, past their deadline, or finished by nobody."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core import lifecycle
from engine.flow.outgoing import Sends
from engine.flow.transaction import carry_out, end_if_idle
from engine.recovery.lost_claims import revoke
from engine.recovery.message_loss import QUIET
from engine.recovery.redelivery import BATCH
from engine.recovery.sweeper import Sweeper
from engine.store.recovery import due_executions
from engine.store.writes import step_runs
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import Ticket


@dataclass(frozen=True, slots=True)
class DueExecutions:
    """Brings executions to their end."""

    sweeper: Sweeper

    def end_executions(self, sends: Sends, now: int) -> None:
        """End what was told to end and whose grace is over; finish what nobody finished."""
        sweeper, apart = self.sweeper, self.sweeper.quarantined()
        rows = sweeper.database.read(
            lambda connection: due_executions.overdue(connection, now, BATCH, apart)
        )
        for row in rows:
            if not row.ending:
                sends.dispatches.append(row.id)
            elif row.interrupting:
                self.end_now(row.id, sends)
            else:
                sweeper.change(row.id, sends, self._interrupt)
        unfinished = [row.id for row in rows if not row.ending]
        if unfinished:
            later = now + 5 * QUIET
            sweeper.database.write(
                lambda connection: due_executions.postpone(connection, unfinished, later)
            )

    def _interrupt(self, tx: ExecutionTx) -> list[Ticket]:
        if not tx.state.stopping or tx.state.over:
            return []
        if tx.state.active == 0:
            return end_if_idle(tx, self.sweeper.definition(tx))
        grace = int(self.sweeper.settings.cancel_interrupt_seconds * 1e6)
        plan = lifecycle.interrupt(tx.state, now=tx.now, grace=grace)
        return carry_out(tx, self.sweeper.definition(tx), plan).ready

    def end_now(self, execution_id: str, sends: Sends) -> None:
        """Revoke what still runs of an execution that was told to end, and end it."""

        def move(tx: ExecutionTx) -> list[Ticket]:
            if not tx.state.stopping:
                return []
            tickets: list[Ticket] = []
            for run in step_runs.running(tx.connection, execution_id):
                tickets += revoke(self.sweeper, tx, run)
            return tickets + end_if_idle(tx, self.sweeper.definition(tx))

        self.sweeper.change(execution_id, sends, move)

    def end_late(self, sends: Sends, now: int) -> None:
        """Fail executions whose deadline is over."""
        apart = self.sweeper.quarantined()
        late = self.sweeper.database.read(
            lambda connection: due_executions.late(connection, now, BATCH, apart)
        )
        for execution_id in late:
            self.sweeper.change(execution_id, sends, self._miss_deadline)

    def _miss_deadline(self, tx: ExecutionTx) -> list[Ticket]:
        definition = self.sweeper.definition(tx)
        plan = lifecycle.time_out(tx.state, definition, now=tx.now, grace=self.sweeper.grace)
        return carry_out(tx, definition, plan).ready
