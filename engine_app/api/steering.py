"""Executions under way and ended: cancel, pause, resume, retry, run again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field

from engine.commands.rerun import RerunRequest
from engine.store import reads
from engine_app.api import shapes
from engine_app.api.executions import BODY_LIMIT, Accepted, accepted, by
from engine_app.api.guard import Me, Parts, With
from engine_app.api.strict import Body, up_to
from engine_app.auth.viewer import Viewer
from engine_app.cancel_timeline import stages
from engine_app.serialize import shape

router = APIRouter(route_class=up_to(BODY_LIMIT), tags=["executions"])
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128)]


class Note(Body):
    """Why it is done, for those who look later."""

    note: str = Field("", max_length=256)


class Steered(BaseModel):
    """Where the execution stands now."""

    execution_id: str
    status: str


class Cancelling(Steered):
    """Where it stands, and until when what still runs may go on."""

    phase: str = Field(description="`closing`: its compensations and finally steps run")
    interrupt_at: datetime | None = Field(
        description="what runs then is interrupted; null: nothing runs any more"
    )
    revoke_at: datetime | None = Field(
        description="what ignored that is taken from its worker then, its process killed"
    )


class Rerun(Body):
    """How to run it again. Left out, all of it: what had failed, as a retry."""

    from_step: str | None = Field(
        None, alias="from", description="this step runs again, and all that follows it"
    )
    version: Annotated[int, Field(ge=1)] | Literal["newest"] | None = Field(
        None, description="null: the version it had"
    )
    input: Any = Field(None, description="in place of the one it had, when it is given")

    def wish(self) -> RerunRequest:
        """Return it as the engine understands it."""
        edited = "input" in self.model_fields_set
        return RerunRequest(self.from_step, self.version, self.input if edited else None, edited)


class Previewed(BaseModel):
    """What running it again would do, told before: names of steps."""

    version: int
    reused: list[str] = Field(description="their results are taken over; they do not run")
    repeated: list[str] = Field(
        description="they were begun before: what they did outside may be done twice"
    )
    fresh: list[str] = Field(description="they were not begun before")


@router.post("/executions/{execution_id}/cancel", status_code=202, response_model=Cancelling)
def cancel(execution_id: str, me: Me, parts: With, wanted: Note | None = None) -> Response:
    """Cancel: no step starts from now on. Running ones may finish for a while, then they are
    interrupted, then taken from their workers; the answer says when."""
    parts.client.cancel(
        owner_id=me.id, execution_id=execution_id, note=wanted.note if wanted else ""
    )
    row = _row(parts, me, execution_id)
    here = {"execution_id": execution_id, "status": row.status, "phase": row.phase}
    return shapes.json({**here, **shape(stages(row, parts.settings))}, status=202)


@router.post("/executions/{execution_id}/pause", status_code=202, response_model=Steered)
def pause(execution_id: str, me: Me, parts: With, wanted: Note | None = None) -> Response:
    """Pause: no step starts until it is resumed; running ones finish, waiting ones wait on."""
    parts.client.pause(
        owner_id=me.id, execution_id=execution_id, note=wanted.note if wanted else ""
    )
    return _steered(parts, me, execution_id)


@router.post("/executions/{execution_id}/resume", status_code=202, response_model=Steered)
def resume(execution_id: str, me: Me, parts: With) -> Response:
    """Let a paused execution go on."""
    parts.client.resume(owner_id=me.id, execution_id=execution_id)
    return _steered(parts, me, execution_id)


@router.post("/executions/{execution_id}/retry", status_code=202, response_model=Accepted)
def retry(execution_id: str, me: Me, parts: With, idempotency_key: Key = None) -> Response:
    """Start a new execution that goes on where a failed or cancelled one stopped."""
    return _again(execution_id, me, parts, None, idempotency_key)


@router.post("/executions/{execution_id}/rerun", status_code=202, response_model=Accepted)
def rerun(
    execution_id: str,
    me: Me,
    parts: With,
    wanted: Rerun | None = None,
    idempotency_key: Key = None,
) -> Response:
    """Run an ended execution again, as a new one: from a step, on another version, with another
    input. What completed before that step is taken over; ask `…/rerun/preview` what repeats."""
    return _again(execution_id, me, parts, (wanted or Rerun()).wish(), idempotency_key)


def _again(
    execution_id: str, me: Viewer, parts: Parts, wish: RerunRequest | None, key: str | None
) -> Response:
    started = parts.client.start_again(
        owner_id=me.id,
        execution_id=execution_id,
        wish=wish,
        trigger_detail=by(me),
        idempotency_key=key,
    )
    return accepted(started.execution_id, started.message_id)


@router.post("/executions/{execution_id}/rerun/preview", response_model=Previewed)
def preview(execution_id: str, me: Me, parts: With, wanted: Rerun | None = None) -> Response:
    """What running it again like this would take over, repeat, and run for the first time.
    Nothing is started."""
    found = parts.client.preview_again(
        owner_id=me.id, execution_id=execution_id, wish=(wanted or Rerun()).wish()
    )
    return shapes.json(shape(found))


def _row(parts: Parts, me: Viewer, execution_id: str) -> reads.ExecutionRow:
    now = parts.database.now()
    return parts.database.read(
        lambda connection: reads.execution_row(connection, me.id, execution_id, now=now)
    )


def _steered(parts: Parts, me: Viewer, execution_id: str) -> Response:
    row = _row(parts, me, execution_id)
    return shapes.json({"execution_id": execution_id, "status": row.status}, status=202)
