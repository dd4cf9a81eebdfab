"""The words for where a thing stands. Whoever compares a status imports it from here."""

from __future__ import annotations

from enum import StrEnum


class ExecutionStatus(StrEnum):
    """Where an execution stands. The last three are ends: they never change."""

    PENDING = "pending"  # accepted, not planned yet
    RUNNING = "running"  # a step run is queued or running
    WAITING = "waiting"  # every open step run is parked: a retry's backoff, a sleep
    PAUSED = "paused"  # nothing new starts until it is resumed
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether it is one of the ends."""
        return self in (self.COMPLETED, self.FAILED, self.CANCELLED)


class Phase(StrEnum):
    """Which of its steps an execution is at."""

    STEPS = "steps"
    CLOSING = "closing"  # compensations and finally steps, once all the others are over
    ABANDONED = "abandoned"  # cancelled while it was closing: nothing new starts


class StepStatus(StrEnum):
    """Where a step run stands. The last four are ends: they never change."""

    PENDING = "pending"  # its needs have not ended yet
    QUEUED = "queued"  # due now
    RUNNING = "running"  # claimed by a worker; or a fan-out whose items are under way
    RETRYING = "retrying"  # failed, due again at due_at
    WAITING = "waiting"  # parked until due_at
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why a thing ended, or is held up, in a word that programs may branch on."""

    ERROR = "error"
    TIMEOUT = "timeout"
    WORKER_CRASHED = "worker_crashed"
    REJECTED_INPUT = "rejected_input"
    UPSTREAM_FAILED = "upstream_failed"
    CANCELLED_BY_USER = "cancelled_by_user"
    CONDITION_FALSE = "condition_false"
    NEEDS_SKIPPED = "needs_skipped"
    UNKNOWN_STEP = "unknown_step"
    DISPATCH_FAILED = "dispatch_failed"
    STEP_FAILED = "step_failed"
    TOO_LARGE = "too_large"
    PAYLOAD_LOST = "payload_lost"
    EXPIRED = "expired"
    REJECTED = "rejected"
    CHILD_FAILED = "child_failed"
    CHILD_CANCELLED = "child_cancelled"
    PARENT_ENDED = "parent_ended"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_DIED = "process_died"
    NOT_NEEDED = "not_needed"
    CACHED = "cached"
    WOKEN = "woken"
    WORKER_STOPPED = "worker_stopped"


class Trigger(StrEnum):
    """What started an execution."""

    MANUAL = "manual"
    API = "api"
    CLI = "cli"
    SCHEDULE = "schedule"
    RETRY = "retry"
    RERUN = "rerun"
    PARENT = "parent"


EXECUTION_ENDS = frozenset(
    {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED}
)
EXECUTION_OPEN = frozenset(ExecutionStatus) - EXECUTION_ENDS
STEP_ENDS = frozenset(
    {StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.SKIPPED}
)
