"""Schedules: when workflows start by themselves."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from engine.commands import schedule
from engine.store import reads
from engine.store.writes import schedules
from engine_app.api import shapes
from engine_app.api.executions import BODY_LIMIT
from engine_app.api.guard import Me, Parts, With
from engine_app.api.strict import Body, up_to
from engine_app.auth.viewer import Viewer
from engine_app.serialize import shape

router = APIRouter(route_class=up_to(BODY_LIMIT), tags=["schedules"])
_ROW = shapes.model_of(reads.ScheduleRow)


class NewSchedule(Body):
    """When to start what, with which input."""

    workflow: str = Field(description="id or name")
    name: str = Field(min_length=1, max_length=64)
    cron: str = Field(max_length=128, description="five fields, or an alias such as @daily")
    zone: str = Field("UTC", max_length=64, description="an IANA time zone")
    input: Any = Field(default_factory=dict)
    version: int | None = Field(None, ge=1, description="the newest at each slot when left out")
    missed: Literal["skip", "latest", "all"] = "latest"
    missed_cap: int = Field(10, ge=1, le=schedules.MAX_CAP)


@router.get("/schedules", response_model=shapes.page_of(reads.ScheduleRow))
def listed(
    me: Me,
    parts: With,
    cursor: shapes.Cursor = None,
    limit: shapes.Limit = reads.PAGE,
) -> Response:
    """Your schedules, newest first."""
    return shapes.page(
        parts.database.read(
            lambda connection: reads.schedules(connection, me.id, cursor=cursor, limit=limit)
        )
    )


@router.post("/schedules", status_code=201, response_model=_ROW)
def create(wanted: NewSchedule, me: Me, parts: With) -> Response:
    """Make a schedule. It is first due at its next slot."""
    schedule_id = schedule.create(parts.database, owner_id=me.id, **wanted.model_dump())
    return _shown(schedule_id, me, parts, status=201)


@router.get("/schedules/{schedule_id}", response_model=_ROW)
def detail(schedule_id: str, me: Me, parts: With) -> Response:
    """One schedule."""
    return _shown(schedule_id, me, parts)


@router.post("/schedules/{schedule_id}/pause", response_model=_ROW)
def pause(schedule_id: str, me: Me, parts: With) -> Response:
    """Stop it until it is resumed; slots that pass meanwhile are not caught up with."""
    now = parts.database.now()
    parts.database.write(lambda connection: schedules.pause(connection, me.id, schedule_id, now))
    return _shown(schedule_id, me, parts)


@router.post("/schedules/{schedule_id}/resume", response_model=_ROW)
def resume(schedule_id: str, me: Me, parts: With) -> Response:
    """Make it due again, at its next slot."""
    now = parts.database.now()
    parts.database.write(lambda connection: schedules.resume(connection, me.id, schedule_id, now))
    return _shown(schedule_id, me, parts)


@router.delete("/schedules/{schedule_id}", status_code=204, response_class=Response)
def remove(schedule_id: str, me: Me, parts: With) -> Response:
    """Delete it; the executions it started stay."""
    parts.database.write(lambda connection: schedules.remove(connection, me.id, schedule_id))
    return Response(status_code=204)


def _shown(schedule_id: str, me: Viewer, parts: Parts, *, status: int = 200) -> Response:
    row = parts.database.read(lambda connection: reads.schedule(connection, me.id, schedule_id))
    return shapes.json(shape(row), status=status)
