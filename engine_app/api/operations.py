"""What the engine runs on: queues, workers, dead letters, and whether it is ready."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from engine.store import reads
from engine_app.api import readiness, shapes
from engine_app.api.guard import Me, Parts, With, open_to_all
from engine_app.api.strict import Strict

router = APIRouter(route_class=Strict, tags=["operations"])


@router.get("/queues", response_model=None)
def queues(me: Me, parts: With) -> Response:
    """How many messages each queue holds: ready, delayed, in flight."""
    return shapes.json({"items": parts.client.queues(), "next_cursor": None})


@router.get("/workers", response_model=shapes.page_of(reads.WorkerRow))
def workers(
    me: Me, parts: With, cursor: shapes.Cursor = None, limit: shapes.Limit = reads.PAGE
) -> Response:
    """The worker processes of the last hour, the newest first."""
    return shapes.page(_workers(parts, cursor, limit))


def _workers(parts: Parts, cursor: str | None, limit: int) -> reads.Page[reads.WorkerRow]:
    now = parts.database.now()
    lease = parts.settings.lease_seconds
    return parts.database.read(
        lambda connection: reads.workers(
            connection, now=now, lease_seconds=lease, cursor=cursor, limit=limit
        )
    )


@router.get("/dead-letters", response_model=shapes.page_of(reads.DeadLetterRow))
def dead_letters(
    me: Me,
    parts: With,
    replayed: Annotated[bool, Query(description="those too")] = False,
    cursor: shapes.Cursor = None,
    limit: shapes.Limit = reads.PAGE,
) -> Response:
    """Messages of yours that could not be carried out, newest first."""
    return shapes.page(
        parts.database.read(
            lambda connection: reads.dead_letters(
                connection, me.id, replayed=replayed, cursor=cursor, limit=limit
            )
        )
    )


@router.post("/dead-letters/{letter_id}/replay", status_code=202, response_model=None)
def replay(letter_id: str, me: Me, parts: With) -> Response:
    """Send the letter's execution again."""
    execution_id = parts.client.replay(owner_id=me.id, dead_letter_id=letter_id)
    return shapes.json(
        {"execution_id": execution_id},
        status=202,
        headers={"Location": f"/api/executions/{execution_id}"},
    )


@router.get("/health", response_model=None)
@open_to_all
async def health() -> Response:
    """200 while this process answers at all; waits for no thread."""
    return shapes.json({"status": "ok"})


@router.get("/ready", response_model=None)
@open_to_all
def ready(parts: With) -> Response:
    """200 once work can be done: the database is migrated, Redis answers, a worker lives, the disk
    has room."""
    found = readiness.look(parts)
    told = {"status": "ok" if found.good else "not ready", "parts": found.parts}
    return shapes.json({**told, **found.troubles}, status=200 if found.good else 503)
