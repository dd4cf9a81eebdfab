"""What the engine runs on: queues, workers, dead letters, and whether it is ready."""

from __future__ import annotations

from typing import Annotated

import redis
from fastapi import APIRouter, Query, Response

from engine.errors import EngineError, Unavailable
from engine.store import liveness, revision, schedules, views
from engine_app.api import shapes
from engine_app.api.guard import Me, Parts, With, open_to_all
from engine_app.api.strict import EMPTY, Strict

router = APIRouter(route_class=Strict, tags=["operations"], max_body_size=EMPTY)


@router.get("/queues", response_model=None)
def queues(me: Me, parts: With) -> Response:
    """How many messages each queue holds: ready, delayed, in flight."""
    try:
        found = parts.client.queues()
    except redis.RedisError as error:
        raise Unavailable(f"Redis does not answer: {error}") from error
    return shapes.json({"items": found, "next_cursor": None})


@router.get("/workers", response_model=shapes.page_of(views.WorkerRow))
def workers(
    me: Me, parts: With, cursor: shapes.Cursor = None, limit: shapes.Limit = views.PAGE
) -> Response:
    """The worker processes of the last hour, the newest first."""
    return shapes.page(_workers(parts, cursor, limit))


def _workers(parts: Parts, cursor: str | None, limit: int) -> views.Page[views.WorkerRow]:
    now = parts.database.now()
    lease = parts.settings.lease_seconds
    return parts.database.read(
        lambda connection: views.workers(
            connection, now=now, lease_seconds=lease, cursor=cursor, limit=limit
        )
    )


@router.get("/dead-letters", response_model=shapes.page_of(views.DeadLetterRow))
def dead_letters(
    me: Me,
    parts: With,
    replayed: Annotated[bool, Query(description="those too")] = False,
    cursor: shapes.Cursor = None,
    limit: shapes.Limit = views.PAGE,
) -> Response:
    """Messages of yours that could not be carried out, newest first."""
    return shapes.page(
        parts.database.read(
            lambda connection: views.dead_letters(
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
    """200 once work can be done: the database is migrated, Redis answers, a worker lives."""
    found = {"database": _database(parts), "redis": _redis(parts), "workers": _alive(parts)}
    good = all(state == "ok" for state in found.values())
    told = {"status": "ok" if good else "not ready", "parts": found}
    return shapes.json({**told, **_troubles(parts)}, status=200 if good else 503)


def _troubles(parts: Parts) -> dict[str, int | None]:
    """Return what does not go on: how many schedules are due and cannot start, and how many
    executions rescue cannot look after. That is no reason to send no traffic here."""
    held_up: int | None
    left_alone: int | None
    try:
        held_up, left_alone = parts.database.read(
            lambda connection: (schedules.held_up(connection), liveness.faulty(connection).count)
        )
    except EngineError:
        held_up = left_alone = None
    return {"schedules_held_up": held_up, "executions_left_alone": left_alone}


def _database(parts: Parts) -> str:
    try:
        found = revision.current(parts.settings.database)
    except EngineError:
        return "does not answer"
    return "ok" if found == revision.NEWEST else "not migrated"


def _redis(parts: Parts) -> str:
    try:
        parts.client.redis.ping()
    except redis.RedisError:
        return "does not answer"
    return "ok"


def _alive(parts: Parts) -> str:
    try:
        workers = views.every(lambda cursor: _workers(parts, cursor, views.MAX_LIMIT))
        alive = any(worker.alive for worker in workers)
    except EngineError:
        return "unknown"
    return "ok" if alive else "none is alive"
