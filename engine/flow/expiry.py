"""A step run that was queued for longer than it may be."""

from __future__ import annotations

from typing import Any

from engine.codec import encode
from engine.core import transitions
from engine.definition import Definition
from engine.flow.transaction import after_failure
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import RunRow, Ticket


def expire(tx: ExecutionTx, definition: Definition, run: RunRow, *, grace: int) -> list[Ticket]:
    """Fail the queued step run; return messages for what becomes ready by its policy."""
    seconds = (run.expires_in or 0) / 1e6
    described: dict[str, Any] = {
        "message": f"no worker took it within {seconds:g} s",
        "type": "Expired",
    }
    expired = transitions.expire(now=tx.now, error=encode(described), data=described)
    tx.apply(run.key, run.epoch, expired)
    return after_failure(tx, definition, run.key, error=described, grace=grace)
