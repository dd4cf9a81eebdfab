"""What people do to executions under way: cancel, pause, resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from engine.core import lifecycle
from engine.definition import Definition
from engine.flow.definition_cache import Versions
from engine.flow.outgoing import Look, Sends
from engine.flow.transaction import carry_out, commit
from engine.store.db.database import Database
from engine.store.writes import executions
from engine.store.writes.carry_out import carry_out as write
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import Ticket

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

    def move(tx: ExecutionTx) -> tuple[Look, list[Ticket]]:
        tickets = cancel_in(tx, definition, grace=grace, note=note)
        return Look.of(tx.state), tickets

    look, tickets = commit(database, execution_id, move, sends=sends)
    sends.now += tickets
    return look, sends


def cancel_in(tx: ExecutionTx, definition: Definition, *, grace: int, note: str) -> list[Ticket]:
    """Cancel the execution of the transaction; return tickets for what runs at its end.

    Args:
        tx: its transaction.
        definition: of its version.
        grace: µs that running steps have.
        note: why, for people.

    Raises:
        Conflict: it has ended, or was cancelled before.
    """
    plan = lifecycle.cancel(
        tx.state, definition, now=tx.now, grace=grace, note=note[:NOTE_LIMIT] or None
    )
    return carry_out(tx, definition, plan).ready


def pause(database: Database, *, owner_id: str, execution_id: str, note: str = "") -> Look:
    """Pause the execution and return whose page has news.

    From this commit on no step starts; running ones finish, waiting ones go on waiting.

    Raises:
        NotFound: no such execution for this owner.
        Conflict: it has ended, is ending, or is paused already.
    """

    def move(tx: ExecutionTx) -> Look:
        write(tx, lifecycle.pause(tx.state, now=tx.now, note=note[:NOTE_LIMIT] or None))
        return Look.of(tx.state)

    return _owned(database, owner_id, execution_id, move, Sends())


def resume(database: Database, *, owner_id: str, execution_id: str) -> tuple[Look, Sends]:
    """Let a paused execution go on; return whose page has news and the messages to send.

    Raises:
        NotFound: no such execution for this owner.
        Conflict: it is not paused.
    """
    sends = Sends()

    def move(tx: ExecutionTx) -> tuple[Look, list[Ticket]]:
        # A delay that it was started with still holds.
        due = tx.state.runs_total == 0 and executions.is_due(tx)
        carried = write(tx, lifecycle.resume(tx.state, now=tx.now, due=due))
        return Look.of(tx.state), carried.ready

    look, tickets = _owned(database, owner_id, execution_id, move, sends)
    sends.now += tickets
    return look, sends


def _owned(
    database: Database,
    owner_id: str,
    execution_id: str,
    move: Callable[[ExecutionTx], T],
    sends: Sends,
) -> T:
    _version(database, owner_id, execution_id)
    return commit(database, execution_id, move, sends=sends)


def _version(database: Database, owner_id: str, execution_id: str) -> tuple[str, int]:
    return database.read(lambda connection: executions.owned(connection, owner_id, execution_id))
