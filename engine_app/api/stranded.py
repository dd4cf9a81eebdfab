"""Executions in flight whose steps no worker has the code for: list, move, cancel."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from engine.commands.missing_code import Bulk, Left, Settled, Stranded
from engine_app.api import shapes
from engine_app.api.guard import Me, Parts, With
from engine_app.api.strict import Body, up_to
from engine_app.auth.viewer import Viewer
from engine_app.serialize import shape

router = APIRouter(route_class=up_to(10_000), tags=["executions"])


class Chosen(Body):
    """Which of them."""

    workflow: str = Field(max_length=64, description="its name or id")
    version: int | None = Field(None, ge=1, description="all its versions when left out")
    dry_run: bool = Field(default=True, description="change nothing, only tell what would be done")


class Came(BaseModel):
    """What was done, or would be; ask again when there are more."""

    dry_run: bool
    done: list[shapes.model_of(Settled)]  # type: ignore[valid-type]  # made at run time
    left: list[shapes.model_of(Left)]  # type: ignore[valid-type]  # likewise
    more: bool


@router.get("/executions/stranded", response_model=shapes.page_of(Stranded))
def listed(me: Me, parts: With) -> Response:
    """Versions of whose executions of yours steps wait for code that no live worker has."""
    return shapes.listing(parts.client.find_stranded(owner_id=me.id) or [])


@router.post("/executions/stranded/move", response_model=Came)
def move(chosen: Chosen, me: Me, parts: With) -> Response:
    """Run them again on the newest version, with the outputs they have, and cancel the old."""
    return _settled(chosen, me, parts, move=True)


@router.post("/executions/stranded/cancel", response_model=Came)
def cancel(chosen: Chosen, me: Me, parts: With) -> Response:
    """Cancel them."""
    return _settled(chosen, me, parts, move=False)


def _settled(chosen: Chosen, me: Viewer, parts: Parts, *, move: bool) -> Response:
    bulk: Bulk = parts.client.settle_stranded(
        owner_id=me.id,
        workflow=chosen.workflow,
        version=chosen.version,
        move=move,
        dry_run=chosen.dry_run,
    )
    return shapes.json(
        {
            "dry_run": chosen.dry_run,
            "done": shape(bulk.done),
            "left": shape(bulk.left),
            "more": bulk.more,
        }
    )
