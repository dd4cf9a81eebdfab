"""What a waiting step run waits for: the words for it, and the execution it starts."""

from __future__ import annotations

import uuid
from typing import Any

from engine.commands.start import child_of
from engine.core.pending_input import Kind, PendingInput
from engine.core.status import Reason
from engine.errors import EngineError, StepError, Unavailable
from engine.flow.definition_cache import Versions
from engine.ids import new_id
from engine.steps import ApprovalWanted, ChildWanted, SignalWanted
from engine.store.db.database import Database
from engine.store.writes.executions import NewExecution, Parent
from engine.worker.claim_registry import Claim
from engine.worker.work import Work

MAX_DEPTH = 20  # a workflow that calls itself without an end must come to one


def word_of(wants: SignalWanted | ApprovalWanted | ChildWanted | None) -> str | None:
    """Return what stands in the step run's ``wait_for``."""
    match wants:
        case None:
            return PendingInput(Kind.TIME).word
        case SignalWanted():
            return PendingInput(Kind.SIGNAL, wants.name, wants.correlation).word
        case ApprovalWanted():
            return PendingInput(Kind.APPROVAL).word
        case ChildWanted():
            return PendingInput(Kind.CHILD).word


def waiting_for(
    wants: SignalWanted | ApprovalWanted | ChildWanted, child: NewExecution | None
) -> dict[str, Any]:
    """Return what people read about it in the event."""
    if isinstance(wants, SignalWanted):
        named = {"signal": wants.name}
        return {**named, "correlation": wants.correlation} if wants.correlation else named
    if isinstance(wants, ApprovalWanted):
        return {"approval": wants.title}
    return {"child": None if child is None else child.id, "workflow": wants.workflow}


class Children:
    """Makes the executions that ``workflow`` steps ask for."""

    def __init__(self, database: Database, versions: Versions) -> None:
        self._database = database
        self._versions = versions

    def wanted(self, work: Work, claim: Claim, wants: ChildWanted) -> NewExecution:
        """Return the execution to admit in the commit that parks the step run.

        Raises:
            StepError: there is no such workflow, its schema refuses the input, or executions
                are nested too deep.
            Unavailable: the database did not answer.
        """
        pinned, step = work.execution.pinned, work.step.name
        if pinned.depth >= MAX_DEPTH:
            raise _rejected(
                f"step {step}: executions are nested {MAX_DEPTH} deep",
                "does a workflow start itself without an end?",
            )
        epoch = claim.epoch + 1 if wants.wait else None
        parent = Parent(claim.key, epoch, leaves=wants.leaves, depth=pinned.depth + 1)
        try:
            return child_of(
                self._database,
                self._versions,
                owner_id=pinned.owner_id,
                workflow_id=wants.workflow,
                input=wants.input,
                version=wants.version,
                parent=parent,
                child_id=new_id(),
                message_id=str(uuid.uuid4()),
            )
        except Unavailable:
            raise  # that says nothing of the child: the claim goes back
        except EngineError as error:
            raise _rejected(f"step {step}: {error}", error.hint) from error


def _rejected(message: str, hint: str) -> StepError:
    return StepError(message, reason=Reason.REJECTED_INPUT, retryable=False, hint=hint)
