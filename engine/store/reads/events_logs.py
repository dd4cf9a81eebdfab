"""What follows an execution as it goes: events and log lines after a number, artifacts."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from engine.codec import decode
from engine.definition import Definition
from engine.errors import NotFound
from engine.io.artifacts import kind_of
from engine.io.payloads import reference
from engine.store.reads.detail import find_step, pinned
from engine.store.reads.rows import ArtifactRow, EventView, LogView
from engine.store.tables import Artifact, EventRow, Execution, LogLine, table

LEVELS = ("debug", "info", "warning", "error", "critical")  # from the lightest
DRAWN = 64 * 1024  # bytes of an artifact that a page draws; of a larger one it offers the download
_EXECUTIONS = table(Execution)
_EVENTS = table(EventRow)
_LOGS = table(LogLine)
_ARTIFACTS = table(Artifact)
_ARTIFACT_COLUMNS = [
    _ARTIFACTS.c[name] for name in ArtifactRow.__dataclass_fields__ if name != "kind"
]


def events(
    connection: Connection, owner_id: str, execution_id: str, after: int = 0, limit: int = 500
) -> list[EventView]:
    """Return the execution's events with numbers above ``after``, in order.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    definition = pinned(connection, owner_id, execution_id)
    rows = connection.execute(
        select(_EVENTS)
        .where(_EVENTS.c.execution_id == execution_id, _EVENTS.c.seq > after)
        .order_by(_EVENTS.c.seq)
        .limit(limit)
    )
    return [
        EventView(
            row.seq,
            row.type,
            None if row.step is None else definition.steps[row.step].name,
            _item(row.item),
            row.attempt,
            row.at,
            decode(row.data) if row.data else {},
        )
        for row in rows
    ]


def news(
    connection: Connection, owner_id: str, execution_id: str, after: int, limit: int
) -> tuple[list[EventView], str, int]:
    """Return events as ``events`` does, with the execution's status and its last number.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    # The status is read first: an end that comes in between is only seen at the next look, and
    # never before its last event.
    row = connection.execute(
        select(_EXECUTIONS.c.status, _EXECUTIONS.c.last_seq).where(
            _EXECUTIONS.c.id == execution_id, _EXECUTIONS.c.owner_id == owner_id
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no execution {execution_id}")
    found = events(connection, owner_id, execution_id, after, limit) if row.last_seq > after else []
    return found, row.status, row.last_seq


def logs(
    connection: Connection,
    owner_id: str,
    execution_id: str,
    after: int = 0,
    limit: int = 500,
    *,
    step: int | str | None = None,
    level: str | None = None,
    least: str | None = None,
    text: str | None = None,
    before: int | None = None,
    newest: bool = False,
) -> list[LogView]:
    """Return log lines with numbers above ``after``, in order.

    Args:
        level: only lines of that level.
        least: only lines of that level and of graver ones.
        text: only lines that have it in them, in capitals or not.
        before: only lines with numbers below it.
        newest: the last ``limit`` of them rather than the first.

    Raises:
        NotFound: no such execution or step, or it belongs to someone else.
    """
    definition = pinned(connection, owner_id, execution_id)
    statement = select(_LOGS).where(_LOGS.c.execution_id == execution_id, _LOGS.c.seq > after)
    if step is not None:
        statement = statement.where(_LOGS.c.step == find_step(definition, step).index)
    if level is not None:
        statement = statement.where(_LOGS.c.level == level.lower())
    if least is not None and least in LEVELS:
        statement = statement.where(_LOGS.c.level.in_(LEVELS[LEVELS.index(least) :]))
    if text is not None:
        statement = statement.where(_LOGS.c.message.icontains(text, autoescape=True))
    if before is not None:
        statement = statement.where(_LOGS.c.seq < before)
    order = _LOGS.c.seq.desc() if newest else _LOGS.c.seq
    rows = list(connection.execute(statement.order_by(order).limit(limit)))
    return [_log(definition, row) for row in (reversed(rows) if newest else rows)]


def _log(definition: Definition, row: Any) -> LogView:
    return LogView(
        row.seq,
        definition.steps[row.step].name,
        _item(row.item),
        row.attempt,
        row.at,
        row.level,
        row.message,
    )


def _item(item: int | None) -> int | None:
    return None if item is None or item < 0 else item


def artifacts(connection: Connection, owner_id: str, execution_id: str) -> list[ArtifactRow]:
    """Return what the execution's steps made for people, oldest first, without the bodies.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    definition = pinned(connection, owner_id, execution_id)
    rows = connection.execute(
        select(*_ARTIFACT_COLUMNS)
        .where(_ARTIFACTS.c.execution_id == execution_id)
        .order_by(_ARTIFACTS.c.id)
    )
    return [
        ArtifactRow(
            **{
                **row._asdict(),
                "step": definition.steps[row.step].name,
                "item": _item(row.item),
                "kind": kind_of(row.media_type),
            }
        )
        for row in rows
    ]


def artifact_bodies(
    connection: Connection, owner_id: str, execution_id: str, ids: Sequence[str]
) -> dict[str, bytes]:
    """Return the bodies, by id, of those artifacts that are small enough to be drawn on a page.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    pinned(connection, owner_id, execution_id)
    rows = connection.execute(
        select(_ARTIFACTS.c.id, _ARTIFACTS.c.body).where(
            _ARTIFACTS.c.execution_id == execution_id,
            _ARTIFACTS.c.id.in_(ids),
            _ARTIFACTS.c.size <= DRAWN,
        )
    )
    return {row.id: b64decode(row.body) for row in rows if reference(row.body) is None}
