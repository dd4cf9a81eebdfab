"""How an execution comes to its end: nothing new starts, what runs has its grace, then the steps
that run at the end have their turn."""

from __future__ import annotations

from engine.core.event import EventType
from engine.core.planning import closing_rows
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.definition import Definition
from engine.store import executions, notices, steps
from engine.store.steps import Ticket
from engine.store.turn import Turn

FINISH_GRACE = 3_000_000  # µs after which rescue finishes what its worker did not


def start_ending(
    turn: Turn, definition: Definition, ending: ExecutionStatus, *, grace: int, reason: Reason
) -> list[Ticket]:
    """Let nothing new start; return tickets for its closing steps if nothing runs either.

    What runs has ``grace`` µs to finish, then it is interrupted, then revoked. An execution that
    is closing already is abandoned: its closing steps end with it.
    """
    head = turn.head
    if ending is ExecutionStatus.CANCELLED:
        steps.drop_open(turn, StepStatus.CANCELLED, reason)
    else:
        steps.drop_open(turn, StepStatus.SKIPPED, Reason.UPSTREAM_FAILED)
    if head.phase is Phase.CLOSING:
        head.phase = Phase.ABANDONED
    if head.status is ExecutionStatus.PAUSED and head.runs_total:
        turn.become(ExecutionStatus.RUNNING)
        turn.emit(EventType.RESUMED)
    if head.ending is None:
        head.ending = ending
        turn.set(reason=reason.value)
    turn.set(due_at=turn.now + grace)
    _end_children(turn, definition)
    return end_if_idle(turn, definition)


def end_if_idle(turn: Turn, definition: Definition) -> list[Ticket]:
    """Once nothing runs any more, begin to close or, when that is over, write the end status."""
    head = turn.head
    if head.ending is None or head.active > 0 or head.over:
        return []
    if head.phase is Phase.CLOSING and head.steps_left > 0:
        return []
    if head.phase is Phase.STEPS and head.runs_total and definition.closing:
        return begin_closing(turn, definition)
    executions.end(turn)
    return []


def begin_closing(turn: Turn, definition: Definition) -> list[Ticket]:
    """Plan compensations and finally steps; return tickets for those that are ready.

    Of a paused execution they are planned, and wait until it is resumed.
    """
    head = turn.head
    rows = closing_rows(definition, undoes=head.ending is not None)
    head.phase = Phase.CLOSING
    head.steps_left = 0
    if head.status is not ExecutionStatus.PAUSED:
        turn.become(ExecutionStatus.RUNNING)
    turn.set(due_at=None, interrupting=False)
    turn.emit(EventType.CLOSING, **({"ending": head.ending.value} if head.ending else {}))
    tickets = steps.insert_first(turn, rows)
    return tickets or when_all_ended(turn, definition)


def when_all_ended(turn: Turn, definition: Definition) -> list[Ticket]:
    """Go on once no step of the present phase is left; return what becomes ready by it."""
    head = turn.head
    if head.steps_left > 0:
        return []
    if head.ending is not None:
        return end_if_idle(turn, definition)
    if definition.closing and head.phase is Phase.STEPS:
        return begin_closing(turn, definition)
    turn.set(due_at=turn.now + FINISH_GRACE)
    if head.moving:
        turn.owed.append(head.id)  # its output is not made under its lock
    return []


def complete(turn: Turn, definition: Definition, output: str | None) -> None:
    """Write the output and the end status, if all steps ended well and nobody has done it."""
    if turn.head.finishable(closes=bool(definition.closing)):
        _end_children(turn, definition)
        executions.complete(turn, output)
        turn.owed[:] = [owed for owed in turn.owed if owed != turn.head.id]


def fail_at_the_end(turn: Turn, definition: Definition, reason: Reason, error: str) -> None:
    """Fail the execution all of whose steps ended well: its output cannot be told."""
    if turn.head.finishable(closes=bool(definition.closing)):
        _end_children(turn, definition)
        executions.fail_unplanned(turn, reason=reason, error=error)


def _end_children(turn: Turn, definition: Definition) -> None:
    if definition.has_children:
        notices.cancel_children(turn)
