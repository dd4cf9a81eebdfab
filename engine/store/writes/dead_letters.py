"""Dead letters: messages that no retry could carry out, kept to be seen and replayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from engine.codec import encode
from engine.core.status import ExecutionStatus, Reason
from engine.errors import Conflict, NotFound
from engine.ids import is_id, new_id
from engine.store.tables import DeadLetter, Execution, table
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import RunRow

_LETTERS = table(DeadLetter)
_EXECUTIONS = table(Execution)
_ERROR_LIMIT = 8_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as the broker gave it up."""

    queue: str
    actor: str
    message: str  # JSON
    error: str
    execution_id: str | None

    @classmethod
    def of(cls, message: dict[str, Any], *, queue: str, actor: str, error: str) -> Letter:
        """Return the letter of a broker's message; our messages name an execution first."""
        args = message.get("args") or ()
        first = args[0] if args else None
        named = first if isinstance(first, str) and is_id(first) else None
        text = encode({name: message[name] for name in ("queue_name", "actor_name", "args")})
        return cls(queue, actor, text, error[-_ERROR_LIMIT:], named)


def keep(connection: Connection, letter: Letter, now: int) -> None:
    """Keep the letter; an execution that could not be dispatched says so and waits for people."""
    owner_id = None
    if letter.execution_id is not None:
        owner_id = connection.execute(
            select(_EXECUTIONS.c.owner_id).where(_EXECUTIONS.c.id == letter.execution_id)
        ).scalar_one_or_none()
        connection.execute(
            update(_EXECUTIONS)
            .where(
                _EXECUTIONS.c.id == letter.execution_id,
                _EXECUTIONS.c.status == ExecutionStatus.PENDING.value,
            )
            .values(reason=Reason.DISPATCH_FAILED.value, due_at=None)
        )
    connection.execute(
        insert(DeadLetter),
        {
            "id": new_id(),
            "owner_id": owner_id,
            "execution_id": letter.execution_id,
            "queue": letter.queue,
            "actor": letter.actor,
            "message": letter.message,
            "reason": Reason.DISPATCH_FAILED.value,
            "error": letter.error,
            "created_at": now,
        },
    )


def keep_poison(tx: ExecutionTx, run: RunRow, error: str) -> None:
    """Keep a letter for a step run under which workers died, in the transaction that fails it."""
    message = {
        "queue_name": run.queue,
        "actor_name": "run_step",
        "args": [run.execution_id, run.step, run.item, run.epoch],
    }
    tx.connection.execute(
        insert(DeadLetter),
        {
            "id": new_id(),
            "owner_id": tx.state.owner_id,
            "execution_id": run.execution_id,
            "queue": run.queue,
            "actor": "run_step",
            "message": encode(message),
            "reason": Reason.WORKER_CRASHED.value,
            "error": error,
            "created_at": tx.now,
        },
    )


@dataclass(frozen=True, slots=True)
class Replay:
    """What replaying a letter means: its execution is dispatched again, or run again."""

    execution_id: str
    again: bool


def find(connection: Connection, owner_id: str, letter_id: str) -> Replay:
    """Return what replaying the letter means.

    An execution that could not be planned is dispatched again. One that has failed by a step
    under which workers died is to be run again, as a new one: an end status never changes.

    Raises:
        NotFound: no such letter for this owner.
        Conflict: it was replayed already.
    """
    row = connection.execute(
        select(_LETTERS.c.execution_id, _LETTERS.c.replayed_at, _LETTERS.c.reason).where(
            _LETTERS.c.id == letter_id, _LETTERS.c.owner_id == owner_id
        )
    ).one_or_none()
    if row is None or row.execution_id is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    if row.replayed_at is not None:
        raise _replayed(letter_id)
    return Replay(row.execution_id, again=row.reason == Reason.WORKER_CRASHED.value)


def replayed(connection: Connection, letter_id: str, now: int) -> bool:
    """Note that the letter is replayed; return False when another has a moment before."""
    unplayed = (_LETTERS.c.id == letter_id) & _LETTERS.c.replayed_at.is_(None)
    # RETURNING, for two at once: the second waits for the first, and finds nothing left to note.
    noted = update(_LETTERS).where(unplayed).values(replayed_at=now).returning(_LETTERS.c.id)
    return connection.execute(noted).one_or_none() is not None


def dispatch_again(connection: Connection, letter_id: str, execution_id: str, now: int) -> None:
    """Replay the letter of an execution that could not be planned: it is dispatched again.

    Raises:
        Conflict: it was replayed already.
    """
    if not replayed(connection, letter_id, now):
        raise _replayed(letter_id)
    connection.execute(
        update(_EXECUTIONS)
        .where(
            _EXECUTIONS.c.id == execution_id,
            _EXECUTIONS.c.status == ExecutionStatus.PENDING.value,
        )
        .values(reason=None, due_at=now)
    )


def _replayed(letter_id: str) -> Conflict:
    return Conflict(f"dead letter {letter_id} was replayed already")
