"""All of an execution in one download: for whoever reads on with their own tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from engine.codec import encode
from engine.store import reads
from engine.store.db.database import Database
from engine_app.api.guard import Me, With
from engine_app.api.strict import Strict
from engine_app.api.values import as_download, with_links
from engine_app.serialize import iso, shape

_AT_ONCE = 500
T = TypeVar("T")
router = APIRouter(route_class=Strict, tags=["executions"])


@router.get("/executions/{execution_id}/logs/text", response_class=Response)
def log(
    execution_id: str,
    me: Me,
    parts: With,
    step: str | None = None,
    level: Annotated[str | None, Query(description="this level only")] = None,
) -> Response:
    """The whole log as text: time, level, step with its item, message."""

    def read(after: int) -> list[reads.LogView]:
        return parts.database.read(
            lambda connection: reads.logs(
                connection, me.id, execution_id, after, _AT_ONCE, step=step, level=level
            )
        )

    told = (_line(line) for lines in _behind(read) for line in lines)
    return _stream(told, "text/plain; charset=utf-8", f"{execution_id}-log.txt")


@router.get("/executions/{execution_id}/record", response_class=Response)
def record(execution_id: str, me: Me, parts: With) -> Response:
    """Everything about an execution, a JSON object a line, each with its `kind`: the execution,
    its steps with their values, items, events, log lines, artifacts."""
    told = _record(parts.database, me.id, execution_id)
    return _stream(told, "application/x-ndjson", f"{execution_id}-record.ndjson")


def _stream(told: Iterator[str], media_type: str, name: str) -> Response:
    # The first line is made before the answer begins: what is not there is told as any other error.
    first = next(told, "")
    body = (f"{line}\n".encode() for line in chain((first,), told)) if first else iter(())
    return StreamingResponse(body, media_type=media_type, headers=as_download(name))


def _line(line: reads.LogView) -> str:
    item = "" if line.item is None else f"[{line.item}]"
    return f"{iso(line.at)} {line.level:<8} {line.step}{item} {line.message}"


def _record(database: Database, owner_id: str, execution_id: str) -> Iterator[str]:
    now = database.now()
    found = database.read(
        lambda connection: reads.execution(connection, owner_id, execution_id, now=now)
    )
    here = f"/api/executions/{execution_id}"
    told = with_links(shape(found), found.large, here + "/{}")
    del told["steps"]  # they follow, each on a line of its own and with its values
    yield _object("execution", told)
    for row in found.steps:
        yield from _step(database, owner_id, execution_id, row)
    yield from _of_kind("event", _reader(database, reads.events, owner_id, execution_id))
    yield from _of_kind("log", _reader(database, reads.logs, owner_id, execution_id))
    artifacts = database.read(
        lambda connection: reads.artifacts(connection, owner_id, execution_id)
    )
    for artifact in artifacts:
        link = f"{here}/artifacts/{artifact.id}"
        yield _object("artifact", {**shape(artifact), "download": link})


def _step(
    database: Database, owner_id: str, execution_id: str, row: reads.StepRow
) -> Iterator[str]:
    detail = database.read(
        lambda connection: reads.step(connection, owner_id, execution_id, row.index)
    )
    here = f"/api/executions/{execution_id}/steps/{row.name}/values"
    yield _object("step", with_links(shape(detail), detail.large, here + "/{}"))
    if row.items is None:
        return
    cursor: str | None = None
    while True:
        page = database.read(
            lambda connection, cursor=cursor: reads.items(  # type: ignore[misc]
                connection,
                owner_id,
                execution_id,
                row.index,
                cursor=cursor,
                limit=reads.MAX_LIMIT,
            )
        )
        for item in page.rows:
            yield _object("item", {"step": row.name, **shape(item)})
        cursor = page.next_cursor
        if cursor is None:
            return


def _reader(
    database: Database, view: Callable[..., list[T]], owner_id: str, execution_id: str
) -> Callable[[int], list[T]]:
    return lambda after: database.read(
        lambda connection: view(connection, owner_id, execution_id, after, _AT_ONCE)
    )


def _of_kind(kind: str, read: Callable[[int], Sequence[Any]]) -> Iterator[str]:
    return (_object(kind, shape(row)) for rows in _behind(read) for row in rows)


def _behind(read: Callable[[int], Sequence[T]]) -> Iterator[Sequence[T]]:
    """Yield the rows in parts; ``read`` returns those after a number."""
    after = 0
    while rows := read(after):
        yield rows
        after = rows[-1].seq  # type: ignore[attr-defined]  # events and log lines have one


def _object(kind: str, told: dict[str, Any]) -> str:
    return encode({"kind": kind, **told})
