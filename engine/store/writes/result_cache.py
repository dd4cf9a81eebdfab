"""Results kept on request, for the next step that asks the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from engine.codec import encode
from engine.store.tables import CachedResult, table
from engine.store.writes.execution_tx import ExecutionTx

_CACHED = table(CachedResult)


@dataclass(frozen=True, slots=True)
class Keep:
    """Where a result is to be kept, and for how many µs."""

    key: str
    ttl: int


def key_of(workflow_id: str, step: str, code: str | None, value: Any) -> str:
    """Return the key of a result: the same step with the same value has the same.

    Args:
        workflow_id: whose step it is; its version does not count.
        step: the step's name.
        code: the function it calls, or its type.
        value: what the document's key expression gave.
    """
    # Each by itself: in a list the deepest value that is allowed would be too deep.
    asked = ",".join(encode(part) for part in (workflow_id, step, code, value))
    return hashlib.sha256(f"[{asked}]".encode()).hexdigest()


def find(connection: Connection, owner_id: str, key: str, now: int) -> str | None:
    """Return the result that is kept and not too old, as JSON text."""
    found: str | None = connection.execute(
        select(_CACHED.c.output).where(
            _CACHED.c.owner_id == owner_id, _CACHED.c.key == key, _CACHED.c.expires_at > now
        )
    ).scalar_one_or_none()
    return found


def keep(tx: ExecutionTx, wanted: Keep, output: str) -> None:
    """Keep a result in the transaction that completes its step run."""
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    values = {
        "output": output,
        "execution_id": tx.state.id,
        "created_at": tx.now,
        "expires_at": tx.now + wanted.ttl,
    }
    same = {"owner_id": tx.state.owner_id, "key": wanted.key}
    tx.connection.execute(
        dialect.insert(_CACHED)
        .values({**same, **values})
        .on_conflict_do_update(index_elements=list(same), set_=values)
    )


def forget(connection: Connection, now: int) -> int:
    """Drop results that are too old and return how many there were."""
    return connection.execute(delete(_CACHED).where(_CACHED.c.expires_at <= now)).rowcount
