"""What people do to executions under way."""

from __future__ import annotations

from engine.errors import Conflict
from engine.flow.commit import commit
from engine.flow.sends import Look
from engine.machine.event import EventType
from engine.machine.status import ExecutionStatus, Reason
from engine.store import executions
from engine.store.database import Database
from engine.store.turn import Turn


def cancel(
    database: Database, *, owner_id: str, execution_id: str, grace_seconds: float, note: str = ""
) -> Look:
    """Cancel the execution and return whose page has news.

    From this commit on no step starts. Running ones may finish within ``grace_seconds``, then
    their claims are revoked; the end status is written when none is left.

    Raises:
        NotFound: no such execution for this owner.
        Conflict: it has ended, or was cancelled before.
    """
    database.read(lambda connection: executions.owned(connection, owner_id, execution_id))

    def move(taken: Turn) -> Look:
        if executions.is_over(taken):
            raise Conflict(f"execution {execution_id} is {taken.head.status} already")
        if taken.head.ending is not None:
            raise Conflict(f"execution {execution_id} is ending already, as {taken.head.ending}")
        taken.set(cancel_requested_at=taken.now, cancel_note=note[:256] or None)
        taken.emit(EventType.CANCEL_REQUESTED, **({"note": note[:256]} if note else {}))
        executions.start_ending(
            taken,
            ExecutionStatus.CANCELLED,
            grace=int(grace_seconds * 1e6),
            reason=Reason.CANCELLED_BY_USER,
        )
        return Look(taken.head.id, taken.head.owner_id, taken.head.workflow_id)

    return commit(database, execution_id, move)
