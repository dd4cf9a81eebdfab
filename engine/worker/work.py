"""The values that pass between the stages of a worker's stay with an execution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.core.execution_state import ExecutionState
from engine.core.status import Phase, StepStatus
from engine.core.transitions import RunKey
from engine.definition import Definition, Step
from engine.flow.expression_scope import Scope
from engine.steps.context import Context
from engine.store.writes.executions import Pinned
from engine.store.writes.step_runs import RunRow, Ticket
from engine.worker.claim_registry import Claim
from engine.worker.prepare import Prepared


@dataclass(slots=True)
class ExecutionContext:
    """A worker's stay with one execution: what it read once and keeps while it goes on."""

    pinned: Pinned
    definition: Definition
    scope: Scope
    until: float  # monotonic seconds: when to hand on by message instead
    steps_left: int
    phase: Phase
    ending: str | None

    @classmethod
    def begin(
        cls, pinned: Pinned, definition: Definition, scope: Scope, *, until: float
    ) -> ExecutionContext:
        """Return a stay with the execution as it was just read."""
        return cls(pinned, definition, scope, until, pinned.steps_left, pinned.phase, pinned.ending)

    def follow(self, head: ExecutionState) -> None:
        """Take note of how the execution stands after a commit of this worker."""
        self.steps_left = head.steps_left
        self.phase = head.phase
        self.ending = head.ending

    @property
    def outdated(self) -> bool:
        """Whether what was read of the execution is no longer what its next steps shall see."""
        return self.phase is not self.pinned.phase or self.ending != self.pinned.ending

    @property
    def ends_with(self) -> bool:
        """Whether the execution ends when its last step does."""
        return self.phase is Phase.CLOSING or not self.definition.closing


@dataclass(slots=True)
class Work:
    """A step run in hand, claimed or not yet."""

    execution: ExecutionContext
    step: Step
    run: RunRow
    prepared: Prepared
    claim: Claim | None = None

    @property
    def key(self) -> RunKey:
        """The step run it is about."""
        return RunKey(self.run.execution_id, self.run.step, self.run.item)

    def context(self, claim: Claim, clock: Callable[[], int]) -> Context:
        """Return what user code may ask about the attempt that ``claim`` stands for."""
        key = self.key
        return Context(
            execution_id=key.execution_id,
            workflow=self.execution.pinned.workflow,
            step=self.step.name,
            item=key.item if key.item >= 0 else None,
            attempt=claim.attempt,
            idempotency_key=f"{key.execution_id}.{key.step}.{key.item}",
            timeout=self.step.timeout,
            woken=self.run.status is StepStatus.WAITING or bool(self.run.woken),
            lines=claim.log,
            clock=clock,
            is_cancelled=lambda: claim.cancelled or claim.stop is not None,
        )

    def ticket(self, epoch: int) -> Ticket:
        """Return a message for this step run."""
        run = self.run
        return Ticket(run.execution_id, run.step, run.item, epoch, run.queue)


def fresh_run(execution_id: str, step: Step, *, item: int = -1) -> RunRow:
    """Return the row of a step whose only need is about to complete, or of an item that is about
    to be claimed with it, as it will be then."""
    return RunRow(
        execution_id=execution_id,
        step=step.index,
        item=item,
        status=StepStatus.QUEUED,
        reason=None,
        epoch=1,
        attempts=0,
        crashes=0,
        needs_ran=1,
        queue=step.queue,
        due_at=None,
        queued_at=None,
        worker_id=None,
        started_at=None,
        items=None,
        value=None,
        expires_in=None,
        wait_for=None,
        woken=False,
    )
