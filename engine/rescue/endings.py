"""Executions whose end is due: told to end, past their deadline, or finished by nobody."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core import lifecycle
from engine.flow.evidence import QUIET
from engine.flow.sends import Sends
from engine.flow.transaction import carry_out, end_if_idle
from engine.rescue.claims import revoke
from engine.rescue.resend import BATCH
from engine.rescue.turns import Turns
from engine.store import overdue, steps
from engine.store.execution_tx import ExecutionTx
from engine.store.steps import Ticket


@dataclass(frozen=True, slots=True)
class EndRescue:
    """Brings executions to their end."""

    turns: Turns

    def end_executions(self, sends: Sends, now: int) -> None:
        """End what was told to end and whose grace is over; finish what nobody finished."""
        turns, resting = self.turns, self.turns.resting()
        rows = turns.database.read(
            lambda connection: overdue.overdue(connection, now, BATCH, resting)
        )
        for row in rows:
            if not row.ending:
                sends.dispatches.append(row.id)
            elif row.interrupting:
                self.end_now(row.id, sends)
            else:
                turns.take(row.id, sends, self._interrupt)
        unfinished = [row.id for row in rows if not row.ending]
        if unfinished:
            later = now + 5 * QUIET
            turns.database.write(lambda connection: overdue.postpone(connection, unfinished, later))

    def _interrupt(self, tx: ExecutionTx) -> list[Ticket]:
        if not tx.state.stopping or tx.state.over:
            return []
        if tx.state.active == 0:
            return end_if_idle(tx, self.turns.definition(tx))
        grace = int(self.turns.settings.cancel_interrupt_seconds * 1e6)
        plan = lifecycle.interrupt(tx.state, now=tx.now, grace=grace)
        return carry_out(tx, self.turns.definition(tx), plan).ready

    def end_now(self, execution_id: str, sends: Sends) -> None:
        """Revoke what still runs of an execution that was told to end, and end it."""

        def move(tx: ExecutionTx) -> list[Ticket]:
            if not tx.state.stopping:
                return []
            tickets: list[Ticket] = []
            for run in steps.running(tx.connection, execution_id):
                tickets += revoke(self.turns, tx, run)
            return tickets + end_if_idle(tx, self.turns.definition(tx))

        self.turns.take(execution_id, sends, move)

    def end_late(self, sends: Sends, now: int) -> None:
        """Fail executions whose deadline is over."""
        resting = self.turns.resting()
        late = self.turns.database.read(
            lambda connection: overdue.late(connection, now, BATCH, resting)
        )
        for execution_id in late:
            self.turns.take(execution_id, sends, self._miss_deadline)

    def _miss_deadline(self, tx: ExecutionTx) -> list[Ticket]:
        definition = self.turns.definition(tx)
        plan = lifecycle.time_out(tx.state, definition, now=tx.now, grace=self.turns.grace)
        return carry_out(tx, definition, plan).ready
