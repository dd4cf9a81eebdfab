"""Values as downloads: outputs and inputs of any size, whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from engine.store import reads
from engine.store.reads import downloads
from engine_app.api.guard import Me, With
from engine_app.api.strict import LARGEST, Strict

_RISKY = re.compile(r"[^A-Za-z0-9 ._()+-]")  # in a header, in quotes, or in a file's name
router = APIRouter(route_class=Strict, tags=["executions"])


@router.get("/executions/{execution_id}/output", response_class=Response)
def output(execution_id: str, me: Me, parts: With) -> Response:
    """The whole output of an execution as JSON, whatever its size."""
    found = downloads.execution_output(parts.database, me.id, execution_id)
    return _json(found, f"{execution_id}-output.json")


@router.get("/executions/{execution_id}/steps/{step}/values/{kind}", response_class=Response)
def value(
    *,
    execution_id: str,
    step: str,
    kind: Literal["input", "output", "value"],
    me: Me,
    parts: With,
    item: Annotated[int | None, Query(ge=0, le=LARGEST, description="of a fan-out")] = None,
) -> Response:
    """What a step, or one item of it, was given or gave as JSON, whatever its size."""
    found = downloads.step_value(parts.database, me.id, execution_id, step, kind=kind, item=item)
    which = "" if item is None else f"-{item}"
    return _json(found, f"{execution_id}-{step}{which}-{kind}.json")


def _json(parts: Iterator[bytes], name: str) -> Response:
    # The first part is read before the answer begins: what is lost is told as any other error.
    first = next(parts)
    return StreamingResponse(
        chain((first,), parts), media_type="application/json", headers=as_download(name)
    )


def as_download(name: str) -> dict[str, str]:
    """Return the headers by which a browser saves a body and runs nothing in it."""
    plain = _RISKY.sub("_", name)
    return {
        # The plain name is for clients that know no other; those that do take the second.
        "Content-Disposition": (
            f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
        ),
        # An SVG is a document that can carry scripts: in a sandbox they do not run.
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    }


def with_links(
    told: dict[str, Any], large: Mapping[str, reads.Large], address: str, query: str = ""
) -> dict[str, Any]:
    """Return an answer that names the download of each value that is too large for it.

    Args:
        told: the answer.
        large: what it leaves out.
        address: of the downloads; ``{}`` stands for the name of the value.
        query: what follows it.
    """
    links = {
        name: {
            "size": found.size,
            "preview": found.preview,
            "download": address.format(name) + query,
        }
        for name, found in large.items()
    }
    return {**told, "large": links}
