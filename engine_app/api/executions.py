"""Executions: start, list, look into."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field

from engine.commands.start import MAX_DELAY
from engine.core.status import Trigger
from engine.io import artifacts as kinds
from engine.store import reads
from engine.store.reads import downloads
from engine_app.api import shapes
from engine_app.api.guard import Me, With
from engine_app.api.strict import LARGEST, Body, up_to
from engine_app.api.values import as_download, with_links
from engine_app.auth.viewer import Viewer
from engine_app.serialize import micros, shape

# Over the 1 MB that an input may have, for what stands around it.
BODY_LIMIT = 1_100_000
# Types that a browser shows and never runs; anything else is offered as plain bytes.
_SHOWN = kinds.IMAGES | {
    kinds.LINK,
    kinds.MARKDOWN,
    kinds.TABLE,
    "application/json",
    "application/pdf",
    "text/csv",
    "text/plain",
}
router = APIRouter(route_class=up_to(BODY_LIMIT), tags=["executions"])


class Execute(Body):
    """What to start."""

    input: Any = Field(default_factory=dict, description="checked by the workflow's input schema")
    version: int | None = Field(None, ge=1, description="the newest when left out")
    delay: float = Field(0, ge=0, le=MAX_DELAY, description="seconds to wait before it starts")


class Accepted(BaseModel):
    """The execution that answers the request."""

    execution_id: str
    message_id: str


@router.post("/workflows/{workflow}/execute", status_code=202, response_model=Accepted)
def execute(
    workflow: str,
    me: Me,
    parts: With,
    wanted: Execute | None = None,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=128)] = None,
) -> Response:
    """Start an execution. The same `Idempotency-Key` with the same body gives the same one."""
    wanted = wanted or Execute.model_validate({})
    started = parts.client.start(
        owner_id=me.id,
        workflow_id=workflow,
        input=wanted.input,
        version=wanted.version,
        trigger=Trigger.API if me.token else Trigger.MANUAL,
        trigger_detail=by(me),
        idempotency_key=idempotency_key,
        delay_seconds=wanted.delay,
    )
    return accepted(started.execution_id, started.message_id)


def by(me: Viewer) -> str | None:
    """Return what an execution says of who started it, beside its trigger."""
    return f"token {me.token}" if me.token else None


def accepted(execution_id: str, message_id: str) -> Response:
    """Return the answer that names the execution and where to look for it."""
    return shapes.json(
        {"execution_id": execution_id, "message_id": message_id},
        status=202,
        headers={"Location": f"/api/executions/{execution_id}"},
    )


@router.get("/executions", response_model=shapes.page_of(reads.ExecutionRow))
def listed(
    *,
    me: Me,
    parts: With,
    workflow: str | None = None,
    status: Annotated[list[str] | None, Query(description="may be given more than once")] = None,
    trigger: Annotated[list[str] | None, Query(description="may be given more than once")] = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[str | None, Query(description="ISO 8601")] = None,
    until: Annotated[str | None, Query(description="ISO 8601, not included")] = None,
    schedule: Annotated[str | None, Query(description="the id of what started them")] = None,
    cursor: shapes.Cursor = None,
    offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
    limit: shapes.Limit = reads.PAGE,
) -> Response:
    """Your executions, newest first. What no index tells is looked for among 5,000 at once: with a
    `next_cursor` there are more to look through, however few are listed."""
    wanted = reads.Filter(
        workflow=workflow,
        status=status,
        trigger=trigger,
        text=text,
        since=micros(since, "since"),
        until=micros(until, "until"),
        schedule=schedule,
    )
    now = parts.database.now()
    return shapes.page(
        parts.database.read(
            lambda connection: reads.executions(
                connection, me.id, wanted, now=now, cursor=cursor, offset=offset, limit=limit
            )
        )
    )


@router.get("/executions/counts", response_model=dict[str, int])
def counts(me: Me, parts: With) -> Response:
    """How many of your executions stand where; each count stops at 1000."""
    return shapes.json(parts.database.read(lambda connection: reads.counts(connection, me.id)))


@router.get("/executions/{execution_id}", response_model=shapes.model_of(reads.ExecutionDetail))
def detail(execution_id: str, me: Me, parts: With) -> Response:
    """One execution with its steps, input, output and failed attempts, what its steps wait for,
    its parent, its children, its origin and what it was run again as."""
    now = parts.database.now()
    found = parts.database.read(
        lambda connection: reads.execution(connection, me.id, execution_id, now=now)
    )
    here = f"/api/executions/{execution_id}"
    return shapes.json(with_links(shape(found), found.large, here + "/{}"))


@router.get(
    "/executions/{execution_id}/steps/{step}", response_model=shapes.model_of(reads.StepDetail)
)
def step(
    execution_id: str,
    step: str,
    me: Me,
    parts: With,
    item: Annotated[int | None, Query(ge=0, le=LARGEST, description="of a fan-out")] = None,
) -> Response:
    """One step, or one item of it, with the values that flowed and its failed attempts."""
    found = parts.database.read(
        lambda connection: reads.step(connection, me.id, execution_id, step, item)
    )
    here = f"/api/executions/{execution_id}/steps/{found.name}/values"
    query = "" if item is None else f"?item={item}"
    return shapes.json(with_links(shape(found), found.large, here + "/{}", query))


@router.get(
    "/executions/{execution_id}/steps/{step}/items", response_model=shapes.page_of(reads.ItemRow)
)
def items(
    *,
    execution_id: str,
    step: str,
    me: Me,
    parts: With,
    status: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=reads.MAX_LIMIT)] = 100,
) -> Response:
    """The items of a fan-out, in order."""
    return shapes.page(
        parts.database.read(
            lambda connection: reads.items(
                connection, me.id, execution_id, step, status=status, cursor=cursor, limit=limit
            )
        )
    )


@router.get("/executions/{execution_id}/logs", response_model=shapes.page_of(reads.LogView))
def logs(
    *,
    execution_id: str,
    me: Me,
    parts: With,
    after: Annotated[
        int, Query(ge=0, le=LARGEST, description="the number of the last line seen")
    ] = 0,
    step: str | None = None,
    level: str | None = None,
    limit: Annotated[int, Query(ge=1, le=2000)] = 500,
) -> Response:
    """What the steps wrote, in order."""
    rows = parts.database.read(
        lambda connection: reads.logs(
            connection, me.id, execution_id, after, limit, step=step, level=level
        )
    )
    more = str(rows[-1].seq) if len(rows) == limit else None
    return shapes.page(reads.Page(rows, more))


@router.get(
    "/executions/{execution_id}/artifacts", response_model=shapes.page_of(reads.ArtifactRow)
)
def artifacts(execution_id: str, me: Me, parts: With) -> Response:
    """What the steps made for people."""
    return shapes.listing(
        parts.database.read(lambda connection: reads.artifacts(connection, me.id, execution_id))
    )


@router.get("/executions/{execution_id}/artifacts/{artifact_id}", response_class=Response)
def artifact(execution_id: str, artifact_id: str, me: Me, parts: With) -> Response:
    """One artifact as a download."""
    found = downloads.artifact(parts.database, me.id, execution_id, artifact_id)
    plain = found.media_type.partition(";")[0].strip().lower()
    return Response(
        found.body,
        media_type=plain if plain in _SHOWN else "application/octet-stream",
        headers=as_download(found.name),
    )
