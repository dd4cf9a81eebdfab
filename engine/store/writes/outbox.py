"""What one execution has to tell another: written with a commit, carried out after it.

The two executions are never locked together, so nobody waits for anybody in a circle. A notice
whose carrier died is found by rescue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from engine.codec import decode, encode
from engine.core.transitions import RunKey
from engine.ids import new_id
from engine.store.tables import OPEN_EXECUTION, Execution, Notice, table
from engine.store.writes.execution_tx import ExecutionTx

_NOTICES = table(Notice)
_EXECUTIONS = table(Execution)


class Kind(StrEnum):
    """What a notice asks for."""

    ANSWER = "answer"  # a waiting step run has its answer
    CANCEL = "cancel"  # the parent has ended: end too


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice. ``key`` and ``epoch`` name the step run that waits for an answer."""

    id: str
    kind: Kind
    execution_id: str
    step: int | None
    item: int | None
    epoch: int | None
    body: Any
    signal_id: str | None

    @property
    def key(self) -> RunKey:
        """The step run that it answers."""
        assert self.step is not None
        assert self.item is not None
        return RunKey(self.execution_id, self.step, self.item)


def answer(
    connection: Connection,
    key: RunKey,
    epoch: int,
    now: int,
    *,
    body: Any = None,
    signal_id: str | None = None,
) -> None:
    """Write the notice of an answer to the waiting step run."""
    connection.execute(
        insert(_NOTICES),
        {
            "id": new_id(),
            "kind": Kind.ANSWER.value,
            "execution_id": key.execution_id,
            "step": key.step,
            "item": key.item,
            "epoch": epoch,
            "body": encode(body),
            "signal_id": signal_id,
            "created_at": now,
        },
    )


def answer_parent(tx: ExecutionTx) -> None:
    """Write the notice of this execution's end to the step run that waits for it."""
    state = tx.state
    if state.parent_id is None or state.parent_epoch is None:
        return
    assert state.parent_step is not None
    assert state.parent_item is not None
    key = RunKey(state.parent_id, state.parent_step, state.parent_item)
    body = {"child": state.id, "status": state.status.value}
    answer(tx.connection, key, state.parent_epoch, tx.now, body=body)
    tx.dispatches.append(state.parent_id)


def cancel_children(tx: ExecutionTx) -> None:
    """Write the notice to end to the open children of this execution that may not go on alone."""
    children = tx.connection.execute(
        select(_EXECUTIONS.c.id).where(
            _EXECUTIONS.c.parent_id == tx.state.id,
            text(OPEN_EXECUTION),
            _EXECUTIONS.c.leaves_parent.is_(False),
        )
    ).scalars()
    rows = [
        {
            "id": new_id(),
            "kind": Kind.CANCEL.value,
            "execution_id": child,
            "created_at": tx.now,
        }
        for child in children
    ]
    if rows:
        tx.connection.execute(insert(_NOTICES), rows)
        tx.dispatches += [row["execution_id"] for row in rows]


def pending(connection: Connection, execution_id: str) -> list[Delivery]:
    """Return the notices for one execution, oldest first."""
    rows = connection.execute(
        select(
            *(
                _NOTICES.c[name]
                for name in (
                    *("id", "kind", "execution_id", "step", "item", "epoch", "body", "signal_id"),
                )
            )
        )
        .where(_NOTICES.c.execution_id == execution_id)
        .order_by(_NOTICES.c.id)
    )
    return list(_read(rows))


def is_pending(connection: Connection, key: RunKey, epoch: int) -> bool:
    """Return whether an answer is under way to the waiting step run."""
    found = connection.execute(
        select(_NOTICES.c.id)
        .where(
            _NOTICES.c.execution_id == key.execution_id,
            _NOTICES.c.step == key.step,
            _NOTICES.c.item == key.item,
            _NOTICES.c.epoch == epoch,
        )
        .limit(1)
    )
    return found.one_or_none() is not None


def _read(rows: Any) -> Iterator[Delivery]:
    for row in rows:
        values = row._asdict()
        values["kind"] = Kind(values["kind"])
        values["body"] = None if values["body"] is None else decode(values["body"])
        yield Delivery(**values)


def overdue(connection: Connection, before: int, limit: int) -> list[str]:
    """Return executions whose notices have been due since before ``before`` (µs)."""
    rows = connection.execute(
        select(_NOTICES.c.execution_id)
        .where(_NOTICES.c.created_at < before)
        .order_by(_NOTICES.c.created_at)
        .limit(limit)
    )
    return list(dict.fromkeys(rows.scalars()))


def sent_again(connection: Connection, ids: Sequence[str], now: int) -> list[str]:
    """Note that a message was sent for these executions: only newer evidence counts from now on.

    Returns those of which it noted any: rows that another transaction holds are left out.
    """
    if not ids:
        return []
    due = select(_NOTICES.c.id, _NOTICES.c.execution_id).where(_NOTICES.c.execution_id.in_(ids))
    rows = connection.execute(due.with_for_update(skip_locked=True)).all()
    if rows:
        noted = [row.id for row in rows]
        connection.execute(update(_NOTICES).where(_NOTICES.c.id.in_(noted)).values(created_at=now))
    return list(dict.fromkeys(row.execution_id for row in rows))


def forget(connection: Connection, execution_id: str) -> None:
    """Drop the notices to an execution that is gone."""
    connection.execute(delete(_NOTICES).where(_NOTICES.c.execution_id == execution_id))


def take(connection: Connection, notice_id: str) -> bool:
    """Forget a notice that is carried out, or came too late; return whether it was still there."""
    gone = delete(_NOTICES).where(_NOTICES.c.id == notice_id).returning(_NOTICES.c.id)
    return connection.execute(gone).one_or_none() is not None
