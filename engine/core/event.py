"""The facts an execution leaves behind, numbered 1..n, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """Names are part of the public interface: documented in ``docs/events.md``, never renamed."""

    CREATED = "created"
    STARTED = "started"
    WAITING = "waiting"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCEL_REQUESTED = "cancel_requested"
    TIMED_OUT = "timed_out"
    INTERRUPTING = "interrupting"
    CLOSING = "closing"
    REPAIRED = "repaired"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STEP_EXPANDED = "step_expanded"
    STEP_STARTED = "step_started"
    STEP_WAITING = "step_waiting"
    STEP_WOKEN = "step_woken"
    STEP_RETRYING = "step_retrying"
    STEP_RELEASED = "step_released"
    STEP_CRASHED = "step_crashed"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    STEP_SKIPPED = "step_skipped"
    STEP_CANCELLED = "step_cancelled"
    STEP_UNKNOWN = "step_unknown"


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. Execution events have no ``step``; items of a fan-out have ``item`` ≥ 0."""

    type: EventType
    step: int | None = None
    item: int | None = None
    attempt: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
