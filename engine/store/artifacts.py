"""What steps made for people."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import insert

from engine.ids import new_id
from engine.machine.change import RunKey
from engine.store.models import Artifact
from engine.store.turn import Turn


class Made(Protocol):
    """What user code hands over."""

    @property
    def name(self) -> str: ...
    @property
    def media_type(self) -> str: ...
    @property
    def body(self) -> bytes: ...


def keep(turn: Turn, key: RunKey, attempt: int, made: Sequence[Made]) -> None:
    """Keep the artifacts of a completed attempt, in its own transaction."""
    if not made:
        return
    rows = [
        {
            "id": new_id(),
            "execution_id": key.execution_id,
            "step": key.step,
            "item": key.item,
            "attempt": attempt,
            "name": artifact.name,
            "media_type": artifact.media_type,
            "size": len(artifact.body),
            "body": base64.b64encode(artifact.body).decode(),
            "created_at": turn.now,
        }
        for artifact in made
    ]
    turn.connection.execute(insert(Artifact), rows)
