"""What executions wait for: signals from programs, decisions of people."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from engine.commands.signals import MAX_CORRELATION, MAX_NAME, Decision
from engine.store import reads
from engine_app.api import shapes
from engine_app.api.executions import BODY_LIMIT
from engine_app.api.guard import Me, Parts, With
from engine_app.api.steering import Key
from engine_app.api.strict import LARGEST, Body, up_to
from engine_app.auth.viewer import Viewer
from engine_app.serialize import shape

router = APIRouter(route_class=up_to(BODY_LIMIT), tags=["executions"])
_APPROVAL = "/executions/{execution_id}/approvals/{step}"
_ROW = shapes.model_of(reads.ApprovalRow)
Item = Annotated[int | None, Query(ge=0, le=LARGEST, description="of a fan-out")]


class Signal(Body):
    """A word for a step that waits for it, or will."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    correlation: str = Field(
        "", max_length=MAX_CORRELATION, description="tells signals of one name apart"
    )
    body: Any = Field(None, description="becomes the output of the step")


class Kept(BaseModel):
    """The signal, and whose step takes it: null while none waits for it."""

    signal_id: str
    execution_id: str | None


class Decide(Body):
    """Yes or no, with what was filled in."""

    approved: bool
    comment: str = Field("", max_length=1000)
    values: dict[str, Any] = Field(default_factory=dict, description="checked by the form")


class Decided(BaseModel):
    """Whose step it was."""

    execution_id: str


@router.post("/executions/{execution_id}/signal", status_code=202, response_model=Kept)
def signal_one(
    execution_id: str, wanted: Signal, me: Me, parts: With, idempotency_key: Key = None
) -> Response:
    """Send a signal to one execution. Without a correlation it fits any step that waits for the
    name; one that comes early is kept for it."""
    return _send(wanted, me, parts, execution_id, idempotency_key)


@router.post("/signals", status_code=202, response_model=Kept)
def signal(wanted: Signal, me: Me, parts: With, idempotency_key: Key = None) -> Response:
    """Send a signal to whichever of your executions waits for its name and correlation, or will
    within its look-back. One step takes it: of several, the one that waits longest."""
    return _send(wanted, me, parts, None, idempotency_key)


def _send(
    wanted: Signal, me: Viewer, parts: Parts, execution_id: str | None, key: str | None
) -> Response:
    received = parts.client.signal(
        owner_id=me.id,
        name=wanted.name,
        body=wanted.body,
        correlation=wanted.correlation,
        execution_id=execution_id,
        sent_by=me.name,
        idempotency_key=key,
    )
    return shapes.json(shape(received), status=202)


@router.get("/approvals", response_model=shapes.page_of(reads.ApprovalRow))
def approvals(
    me: Me,
    parts: With,
    cursor: shapes.Cursor = None,
    limit: shapes.Limit = reads.PAGE,
) -> Response:
    """What waits for your decision: approvals of your executions that name nobody, and those of
    anybody's that name you."""
    return shapes.page(
        parts.database.read(
            lambda connection: reads.approvals(
                connection, me.id, me.name, cursor=cursor, limit=limit
            )
        )
    )


@router.get(_APPROVAL, response_model=_ROW)
def approval(execution_id: str, step: str, me: Me, parts: With, item: Item = None) -> Response:
    """One of them. Who is named sees this of another's execution, and nothing else."""
    return shapes.json(
        shape(
            reads.approval(
                parts.database, me.id, me.name, execution_id=execution_id, step=step, item=item
            )
        )
    )


@router.post(_APPROVAL, status_code=202, response_model=Decided)
def decide(
    *, execution_id: str, step: str, wanted: Decide, me: Me, parts: With, item: Item = None
) -> Response:
    """Approve or reject. A rejection fails the step; what follows is its policy."""
    decision = Decision(wanted.approved, me.name, wanted.comment, wanted.values, item)
    parts.client.decide(user_id=me.id, execution_id=execution_id, step=step, decision=decision)
    return shapes.json({"execution_id": execution_id}, status=202)
