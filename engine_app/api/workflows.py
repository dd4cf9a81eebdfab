"""Workflows and their versions: create, list, get, validate."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from engine.commands.publish import publish
from engine.definition import MAX_TEXT
from engine.errors import InvalidDocument
from engine.store import reads
from engine.store.writes.workflows import Published
from engine_app.api import shapes
from engine_app.api.guard import Me, With
from engine_app.api.strict import LARGEST, up_to
from engine_app.serialize import shape

router = APIRouter(route_class=up_to(MAX_TEXT), tags=["workflows"])
_DOCUMENT = {
    "requestBody": {
        "required": True,
        "description": "a workflow document, as JSON or YAML",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/yaml": {"schema": {"type": "string"}},
        },
    }
}


class VersionMade(BaseModel):
    """The version that holds the document; not `created` when the latest was equal to it."""

    workflow_id: str
    name: str
    version: int
    created: bool


class Valid(BaseModel):
    """What a document would become."""

    name: str
    steps: list[str]
    input_schema: dict[str, Any]


async def _text(request: Request) -> str:
    body = await request.body()
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidDocument(
            f"the document is not UTF-8: byte {error.start} cannot be read"
        ) from None


Document = Annotated[str, Depends(_text)]


@router.get("/workflows", response_model=shapes.page_of(reads.WorkflowRow))
def listed(
    me: Me,
    parts: With,
    text: Annotated[str | None, Query(max_length=200, description="in the name")] = None,
    cursor: shapes.Cursor = None,
    limit: shapes.Limit = reads.PAGE,
) -> Response:
    """Your workflows and the shared ones, by name."""
    return shapes.page(
        parts.database.read(
            lambda connection: reads.workflows(
                connection, me.id, text=text, cursor=cursor, limit=limit
            )
        )
    )


@router.post("/workflows", status_code=201, response_model=VersionMade, openapi_extra=_DOCUMENT)
def create(document: Document, me: Me, parts: With) -> Response:
    """Create a workflow, or a new version of yours of that name. Repeating it changes nothing."""
    return _made(publish(parts.database, me.id, parts.checks.document(me.id, document)))


@router.post("/workflows/validate", response_model=Valid, openapi_extra=_DOCUMENT)
def validate(document: Document, me: Me, parts: With) -> Response:
    """Check a document and name every fault in it; nothing is kept."""
    found = parts.checks.document(me.id, document)
    return shapes.json(
        {"name": found.name, "steps": found.steps, "input_schema": found.input_schema}
    )


@router.get("/workflows/{workflow}", response_model=shapes.model_of(reads.WorkflowDetail))
def detail(
    workflow: str,
    me: Me,
    parts: With,
    version: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
) -> Response:
    """A workflow with the document of a version, the newest unless one is asked for."""
    found = parts.database.read(
        lambda connection: reads.workflow(connection, me.id, workflow, version=version)
    )
    return shapes.json(shape(found))


@router.get("/workflows/{workflow}/versions", response_model=shapes.page_of(reads.VersionRow))
def versions(
    workflow: str,
    me: Me,
    parts: With,
    cursor: shapes.Cursor = None,
    limit: shapes.Limit = reads.PAGE,
) -> Response:
    """The versions of a workflow, newest first."""
    return shapes.page(
        parts.database.read(
            lambda connection: reads.versions(
                connection, me.id, workflow, cursor=cursor, limit=limit
            )
        )
    )


@router.post(
    "/workflows/{workflow}/versions",
    status_code=201,
    response_model=VersionMade,
    openapi_extra=_DOCUMENT,
)
def add_version(workflow: str, document: Document, me: Me, parts: With) -> Response:
    """Add a version to a workflow of yours. Executions under way keep the one they began with."""
    found = parts.database.read(lambda connection: reads.workflow(connection, me.id, workflow))
    new = parts.checks.document(me.id, document)
    return _made(publish(parts.database, me.id, new, workflow_id=found.row.id))


def _made(published: Published) -> Response:
    return shapes.json(
        shape(published),
        status=201 if published.created else 200,
        headers={"Location": f"/api/workflows/{published.workflow_id}"},
    )
