"""How an execution comes to its end: nothing new starts, what runs has its grace, then the steps
that run at the end have their turn."""

from __future__ import annotations

from engine.core.event import EventType
from engine.core.planning import closing_rows
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.definition import Definition
from engine.store import executions, notices, steps
from engine.store.execution_tx import ExecutionTx
from engine.store.steps import Ticket

FINISH_GRACE = 3_000_000  # µs after which rescue finishes what its worker did not


def start_ending(
    tx: ExecutionTx, definition: Definition, ending: ExecutionStatus, *, grace: int, reason: Reason
) -> list[Ticket]:
    """Let nothing new start; return tickets for its closing steps if nothing runs either.

    What runs has ``grace`` µs to finish, then it is interrupted, then revoked. An execution that
    is closing already is abandoned: its closing steps end with it.
    """
    state = tx.state
    if ending is ExecutionStatus.CANCELLED:
        steps.drop_open(tx, StepStatus.CANCELLED, reason)
    else:
        steps.drop_open(tx, StepStatus.SKIPPED, Reason.UPSTREAM_FAILED)
    if state.phase is Phase.CLOSING:
        state.phase = Phase.ABANDONED
    if state.status is ExecutionStatus.PAUSED and state.runs_total:
        tx.become(ExecutionStatus.RUNNING)
        tx.emit(EventType.RESUMED)
    if state.ending is None:
        state.ending = ending
        tx.set(reason=reason.value)
    tx.set(due_at=tx.now + grace)
    _end_children(tx, definition)
    return end_if_idle(tx, definition)


def end_if_idle(tx: ExecutionTx, definition: Definition) -> list[Ticket]:
    """Once nothing runs any more, begin to close or, when that is over, write the end status."""
    state = tx.state
    if state.ending is None or state.active > 0 or state.over:
        return []
    if state.phase is Phase.CLOSING and state.steps_left > 0:
        return []
    if state.phase is Phase.STEPS and state.runs_total and definition.closing:
        return begin_closing(tx, definition)
    executions.end(tx)
    return []


def begin_closing(tx: ExecutionTx, definition: Definition) -> list[Ticket]:
    """Plan compensations and finally steps; return tickets for those that are ready.

    Of a paused execution they are planned, and wait until it is resumed.
    """
    state = tx.state
    rows = closing_rows(definition, undoes=state.ending is not None)
    state.phase = Phase.CLOSING
    state.steps_left = 0
    if state.status is not ExecutionStatus.PAUSED:
        tx.become(ExecutionStatus.RUNNING)
    tx.set(due_at=None, interrupting=False)
    tx.emit(EventType.CLOSING, **({"ending": state.ending.value} if state.ending else {}))
    tickets = steps.insert_first(tx, rows)
    return tickets or when_all_ended(tx, definition)


def when_all_ended(tx: ExecutionTx, definition: Definition) -> list[Ticket]:
    """Go on once no step of the present phase is left; return what becomes ready by it."""
    state = tx.state
    if state.steps_left > 0:
        return []
    if state.ending is not None:
        return end_if_idle(tx, definition)
    if definition.closing and state.phase is Phase.STEPS:
        return begin_closing(tx, definition)
    tx.set(due_at=tx.now + FINISH_GRACE)
    if state.moving:
        tx.owed.append(state.id)  # its output is not made under its lock
    return []


def complete(tx: ExecutionTx, definition: Definition, output: str | None) -> None:
    """Write the output and the end status, if all steps ended well and nobody has done it."""
    if tx.state.finishable(closes=bool(definition.closing)):
        _end_children(tx, definition)
        executions.complete(tx, output)
        tx.owed[:] = [owed for owed in tx.owed if owed != tx.state.id]


def fail_at_the_end(tx: ExecutionTx, definition: Definition, reason: Reason, error: str) -> None:
    """Fail the execution all of whose steps ended well: its output cannot be told."""
    if tx.state.finishable(closes=bool(definition.closing)):
        _end_children(tx, definition)
        executions.fail_unplanned(tx, reason=reason, error=error)


def _end_children(tx: ExecutionTx, definition: Definition) -> None:
    if definition.has_children:
        notices.cancel_children(tx)
