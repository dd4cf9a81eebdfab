"""The state of an execution: the few values that decisions read and change under its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.planning import PlannedRun
from engine.core.status import EXECUTION_ENDS, ExecutionStatus, Phase, StepStatus
from engine.core.transitions import RunKey, Transition


@dataclass(slots=True)
class ExecutionState:
    """An execution without its payloads."""

    id: str
    owner_id: str
    workflow_id: str
    version: int
    parent_id: str | None = None
    parent_step: int | None = None
    parent_item: int | None = None
    parent_epoch: int | None = None  # null: nobody waits for its end
    status: ExecutionStatus = ExecutionStatus.PENDING
    ending: ExecutionStatus | None = None
    phase: Phase = Phase.STEPS
    last_seq: int = 0
    last_log: int = 0
    active: int = 0  # step runs queued or running
    steps_left: int = 0  # nodes of the present phase that have not ended
    runs_done: int = 0
    runs_total: int = 0

    def count(self, key: RunKey, transition: Transition) -> None:
        """Count a transition of one of its step runs."""
        self.active += transition.active
        self.runs_done += transition.progress
        if key.item < 0:
            self.steps_left -= transition.ended

    def count_inserted(self, rows: Sequence[PlannedRun]) -> None:
        """Count the rows of a phase; those taken over from an origin are counted by themselves."""
        fresh = [row for row in rows if not row.reused]
        skipped = sum(row.status is StepStatus.SKIPPED for row in fresh)
        self.active += sum(row.status is StepStatus.QUEUED for row in fresh)
        self.steps_left += len(fresh) - skipped
        self.runs_total += len(fresh)
        self.runs_done += skipped

    @property
    def stopping(self) -> bool:
        """Whether it was told to end, and what runs is to stop."""
        return self.ending is not None and self.phase is not Phase.CLOSING

    @property
    def moving(self) -> bool:
        """Whether step runs may be claimed: open, planned, not paused and not stopping."""
        return not self.stopping and self.status in (
            ExecutionStatus.RUNNING,
            ExecutionStatus.WAITING,
        )

    @property
    def over(self) -> bool:
        """Whether it has one of the three end statuses."""
        return self.status in EXECUTION_ENDS

    def finishable(self, *, closes: bool) -> bool:
        """Whether nothing is left to do but to write the output.

        Args:
            closes: whether its workflow has steps that run at the end.
        """
        closed = self.phase is Phase.CLOSING or not closes
        return self.moving and self.ending is None and self.steps_left == 0 and closed
