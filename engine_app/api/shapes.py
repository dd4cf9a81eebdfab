"""Answers: rows as JSON by the one codec, and their schemas for OpenAPI."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from fastapi import Query, Response
from pydantic import BaseModel, create_model

from engine.codec import encode
from engine.store.reads import MAX_LIMIT, Page
from engine_app.serialize import is_time, shape

Cursor = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def json(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with the value as JSON by the one codec."""
    return Response(encode(value), status, headers, media_type="application/json")


def page(found: Page[Any]) -> Response:
    """Return a page as ``items`` and ``next_cursor``."""
    return json({"items": shape(found.rows), "next_cursor": found.next_cursor})


def listing(rows: Sequence[Any]) -> Response:
    """Return a whole list in the form of a page."""
    return json({"items": shape(rows), "next_cursor": None})


@cache
def model_of(row: type) -> type[BaseModel]:
    """Return the schema of a row for OpenAPI: the row's own fields, times as text."""
    hints = get_type_hints(row)
    fields: dict[str, Any] = {
        field.name: (_schema_type(field.name, hints[field.name]), ...)
        for field in dataclasses.fields(row)
    }
    return create_model(row.__name__, __doc__=row.__doc__, **fields)


def _schema_type(name: str, hint: Any) -> Any:
    if is_time(name):
        return datetime | None if type(None) in get_args(hint) else datetime
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return model_of(hint)
    parts = get_args(hint)
    if get_origin(hint) is Sequence or get_origin(hint) is tuple:
        return list[_schema_type("", parts[0])]  # type: ignore[misc]  # made at run time
    if get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(_schema_type("", part) for part in parts)]  # noqa: UP007  # likewise
    if get_origin(hint) is not None:
        return dict[str, Any]
    return hint


@cache
def page_of(row: type) -> type[BaseModel]:
    """Return the schema of a page of rows."""
    items: Any = list[model_of(row)]  # type: ignore[misc]  # made at run time
    return create_model(f"{row.__name__}Page", items=(items, ...), next_cursor=(str | None, ...))
