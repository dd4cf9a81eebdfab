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
from engine.store.steps import Ticket
from engine.store.turn import Turn


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

    def _interrupt(self, taken: Turn) -> list[Ticket]:
        if not taken.head.stopping or taken.head.over:
            return []
        if taken.head.active == 0:
            return end_if_idle(taken, self.turns.definition(taken))
        grace = int(self.turns.settings.cancel_interrupt_seconds * 1e6)
        executions.interrupt(taken, grace=grace)
        return []

    def end_now(self, execution_id: str, sends: Sends) -> None:
        """Revoke what still runs of an execution that was told to end, and end it."""

        def move(taken: Turn) -> list[Ticket]:
            if not taken.head.stopping:
                return []
            tickets: list[Ticket] = []
            for run in steps.running(taken.connection, execution_id):
                tickets += revoke(self.turns, taken, run)
            return tickets + end_if_idle(taken, self.turns.definition(taken))

        self.turns.take(execution_id, sends, move)

    def end_late(self, sends: Sends, now: int) -> None:
        """Fail executions whose deadline is over."""
        resting = self.turns.resting()
        late = self.turns.database.read(
            lambda connection: overdue.late(connection, now, BATCH, resting)
        )
        for execution_id in late:
            self.turns.take(execution_id, sends, self._miss_deadline)

    def _miss_deadline(self, taken: Turn) -> list[Ticket]:
        head, grace = taken.head, self.turns.grace
        if head.over or head.ending is not None or head.phase is not Phase.STEPS:
            return []
        definition = self.turns.definition(taken)
        seconds = definition.timeout or 0
        described = {"message": f"it took longer than its {seconds:g} s", "type": "TimedOut"}
        taken.set(error=encode({**described, "step": None}))
        taken.emit(EventType.TIMED_OUT, until=taken.now + grace)
        return start_ending(
            taken, definition, ExecutionStatus.FAILED, grace=grace, reason=Reason.TIMEOUT
        )
