"""Executions whose end is due: told to end, past their deadline, or finished by nobody."""

from __future__ import annotations

from dataclasses import dataclass

from engine.codec import encode
from engine.core.event import EventType
from engine.core.status import ExecutionStatus, Phase, Reason
from engine.flow.ending import end_if_idle, start_ending
from engine.flow.evidence import QUIET
from engine.flow.sends import Sends
from engine.rescue.claims import revoke
from engine.rescue.resend import BATCH
from engine.rescue.turns import Turns
from engine.store import executions, overdue, steps
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
        executions.interrupt(tx, grace=grace)
        return []

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
        head, grace = tx.state, self.turns.grace
        if head.over or head.ending is not None or head.phase is not Phase.STEPS:
            return []
        definition = self.turns.definition(tx)
        seconds = definition.timeout or 0
        described = {"message": f"it took longer than its {seconds:g} s", "type": "TimedOut"}
        tx.set(error=encode({**described, "step": None}))
        tx.emit(EventType.TIMED_OUT, until=tx.now + grace)
        return start_ending(
            tx, definition, ExecutionStatus.FAILED, grace=grace, reason=Reason.TIMEOUT
        )
