"""The head of an execution: the few values that each move reads and changes under its lock."""

from __future__ import annotations

from dataclasses import dataclass

from engine.machine.status import ExecutionStatus


@dataclass(slots=True)
class Head:
    """An execution without its payloads."""

    id: str
    owner_id: str
    workflow_id: str
    version: int
    status: ExecutionStatus
    ending: ExecutionStatus | None
    last_seq: int
    last_log: int
    active: int  # step runs queued or running
    steps_left: int  # nodes that have not ended
    runs_done: int
    runs_total: int

    @property
    def moving(self) -> bool:
        """Whether step runs may be claimed: open, planned, and not about to end."""
        return self.ending is None and self.status in (
            ExecutionStatus.RUNNING,
            ExecutionStatus.WAITING,
        )

    @property
    def finishable(self) -> bool:
        """Whether nothing is left to do but to write the output."""
        return self.moving and self.steps_left == 0

    @property
    def endable(self) -> bool:
        """Whether it was told to end and nothing runs any more."""
        return self.ending is not None and self.active == 0
