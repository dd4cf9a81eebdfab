"""The stages in which a cancelled execution comes to its end, with their times."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core.status import EXECUTION_ENDS, Phase
from engine.settings import Settings
from engine.store.reads import ExecutionRow


@dataclass(frozen=True, slots=True)
class Stages:
    """Until when what runs may go on, in µs; None: nothing is to be ended (any more)."""

    interrupt_at: int | None  # it is interrupted in its thread
    revoke_at: int | None  # it is taken from its worker; a process of its own is killed


def stages(row: ExecutionRow, settings: Settings) -> Stages:
    """Return the stages that a cancelled execution still has before it."""
    asked = row.cancel_requested_at
    if asked is None or row.status in EXECUTION_ENDS or row.phase == Phase.CLOSING:
        return Stages(None, None)
    interrupt_at = asked + int(settings.cancel_grace_seconds * 1e6)
    return Stages(interrupt_at, interrupt_at + int(settings.cancel_interrupt_seconds * 1e6))
