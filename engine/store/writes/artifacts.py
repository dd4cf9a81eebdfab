"""What steps made for people."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import insert

from engine.core.transitions import RunKey
from engine.ids import new_id
from engine.io.payloads import Payloads
from engine.store.tables import Artifact
from engine.store.writes.execution_tx import ExecutionTx


class Made(Protocol):
    """What user code hands over."""

    @property
    def name(self) -> str: ...
    @property
    def media_type(self) -> str: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """An artifact as its row holds it: ``text`` is base64, or a reference to the payload store."""

    name: str
    media_type: str
    size: int
    text: str


def column(payloads: Payloads, made: Made, where: str, whose: str) -> Kept:
    """Return the artifact as its row will hold it; a large body is in the store then.

    Raises:
        StepError, Unavailable: as ``Payloads.keep``.
    """
    found = payloads.keep_bytes(made.body, where, f"{whose}: artifact {made.name!r}")
    text = base64.b64encode(made.body).decode() if found is None else found
    return Kept(made.name, made.media_type, len(made.body), text)


def keep(tx: ExecutionTx, key: RunKey, attempt: int, kept: Sequence[Kept]) -> None:
    """Keep the artifacts of a completed attempt, in its own transaction."""
    if not kept:
        return
    # Sorted, for two ids of one millisecond have no order: they are listed as they were made.
    ids = sorted(new_id() for _ in kept)
    rows = [
        {
            "id": artifact_id,
            "execution_id": key.execution_id,
            "step": key.step,
            "item": key.item,
            "attempt": attempt,
            "name": artifact.name,
            "media_type": artifact.media_type,
            "size": artifact.size,
            "body": artifact.text,
            "created_at": tx.now,
        }
        for artifact_id, artifact in zip(ids, kept, strict=True)
    ]
    tx.connection.execute(insert(Artifact), rows)
