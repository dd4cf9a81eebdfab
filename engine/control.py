"""What people do to executions under way: cancel, pause, resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from engine.core.event import EventType
from engine.core.execution_state import ExecutionState
from engine.core.status import ExecutionStatus, Phase, Reason
from engine.definition import Definition
from engine.errors import Conflict
from engine.flow.commit import commit
from engine.flow.ending import start_ending
from engine.flow.sends import Look, Sends
from engine.flow.versions import Versions
from engine.store import executions, steps
from engine.store.database import Database
from engine.store.steps import Ticket
from engine.store.turn import Turn

T = TypeVar("T")

NOTE_LIMIT = 256  # characters


def cancel(
    database: Database,
    versions: Versions,
    *,
    owner_id: str,
    execution_id: str,
    grace_seconds: float,
    note: str = "",
) -> tuple[Look, Sends]:
    """Cancel the execution; return whose page has news and the messages to send.

    From this commit on no step starts. Running ones may finish within ``grace_seconds``, then
    they are interrupted, then their claims are revoked. Compensations and finally steps have
    their turn before the end status is written; cancelled once more, these are abandoned.

    Raises:
        NotFound: no such execution for this owner.
        Conflict: it has ended, or was cancelled before.
    """
    definition = versions.get(*_version(database, owner_id, execution_id))
    sends, grace = Sends(), int(grace_seconds * 1e6)

    def move(taken: Turn) -> tuple[Look, list[Ticket]]:
        tickets = cancel_in(taken, definition, grace=grace, note=note)
        return Look.of(taken.head), tickets

    look, tickets = commit(database, execution_id, move, sends=sends)
    sends.now += tickets
    return look, sends


def cancel_in(taken: Turn, definition: Definition, *, grace: int, note: str) -> list[Ticket]:
    """Cancel the execution whose turn it is; return tickets for what runs at its end.

    Args:
        taken: its turn.
        definition: of its version.
        grace: µs that running steps have.
        note: why, for people.

    Raises:
        Conflict: it has ended, or was cancelled before.
    """
    head = taken.head
    _refuse_ended(head)
    if head.ending is not None and head.phase is not Phase.CLOSING:
        raise Conflict(f"execution {head.id} is ending already, as {head.ending}")
    taken.set(cancel_requested_at=taken.now, cancel_note=note[:NOTE_LIMIT] or None)
    taken.emit(EventType.CANCEL_REQUESTED, until=taken.now + grace, **_noted(note))
    return start_ending(
        taken,
        definition,
        ExecutionStatus.CANCELLED,
        grace=grace,
        reason=Reason.CANCELLED_BY_USER,
    )


def pause(database: Database, *, owner_id: str, execution_id: str, note: str = "") -> Look:
    """Pause the execution and return whose page has news.

    From this commit on no step starts; running ones finish, waiting ones go on waiting.

    Raises:
        NotFound: no such execution for this owner.
        Conflict: it has ended, is ending, or is paused already.
    """

    def move(taken: Turn) -> Look:
        head = taken.head
        _refuse_ended(head)
        if head.stopping:
            raise Conflict(f"execution {execution_id} is ending already, as {head.ending}")
        if head.status is ExecutionStatus.PAUSED:
            raise Conflict(f"execution {execution_id} is paused already")
        taken.become(ExecutionStatus.PAUSED)
        taken.emit(EventType.PAUSED, **_noted(note))
        return Look.of(head)

    return _owned(database, owner_id, execution_id, move, Sends())


def resume(database: Database, *, owner_id: str, execution_id: str) -> tuple[Look, Sends]:
    """Let a paused execution go on; return whose page has news and the messages to send.

    Raises:
        NotFound: no such execution for this owner.
        Conflict: it is not paused.
    """
    sends = Sends()

    def move(taken: Turn) -> tuple[Look, list[Ticket]]:
        head = taken.head
        if head.status is not ExecutionStatus.PAUSED:
            raise Conflict(f"execution {execution_id} is {head.status}, not paused")
        taken.emit(EventType.RESUMED)
        tickets: list[Ticket] = []
        if head.runs_total == 0:
            taken.become(ExecutionStatus.PENDING)
            # A delay that it was started with still holds.
            owed = executions.is_due(taken)
        else:
            taken.become(ExecutionStatus.RUNNING)
            tickets = steps.requeue(taken)
            owed = not tickets
        if owed:
            taken.owed.append(head.id)
        return Look.of(head), tickets

    look, tickets = _owned(database, owner_id, execution_id, move, sends)
    sends.now += tickets
    return look, sends


def _owned(
    database: Database,
    owner_id: str,
    execution_id: str,
    move: Callable[[Turn], T],
    sends: Sends,
) -> T:
    _version(database, owner_id, execution_id)
    return commit(database, execution_id, move, sends=sends)


def _version(database: Database, owner_id: str, execution_id: str) -> tuple[str, int]:
    return database.read(lambda connection: executions.owned(connection, owner_id, execution_id))


def _refuse_ended(head: ExecutionState) -> None:
    if head.over:
        raise Conflict(f"execution {head.id} is {head.status} already")


def _noted(note: str) -> dict[str, str]:
    return {"note": note[:NOTE_LIMIT]} if note else {}
