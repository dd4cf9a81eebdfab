"""Artifacts as a page draws them. Pure; a body that is not as its type says becomes a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.codec import decode, encode
from engine.errors import PayloadError
from engine.io.artifacts import is_web_address
from engine.store.reads import ArtifactRow
from engine_app.markdown import to_html

DRAWN_KINDS = frozenset({"markdown", "table", "link"})  # whose body is read to draw them
_ROWS = 200  # of a table on screen
_CELL = 300  # characters of a cell on screen


@dataclass(frozen=True)
class Thing:
    """An artifact. ``kind`` says how it is drawn; a file is only a download."""

    id: str = ""
    name: str = ""
    step: str = ""
    size: str = ""
    href: str = ""
    kind: str = "file"
    html: str = ""  # of a Markdown text: safe as it is
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    more: str = ""
    url: str = ""
    title: str = ""


def missing(rows: Sequence[ArtifactRow], known: Sequence[Thing]) -> list[str]:
    """Return the ids of artifacts whose bodies must be read: they never change once drawn."""
    drawn = {thing.id for thing in known}
    return [row.id for row in rows if row.kind in DRAWN_KINDS and row.id not in drawn]


def things(
    execution_id: str,
    rows: Sequence[ArtifactRow],
    known: Sequence[Thing],
    bodies: Mapping[str, bytes],
) -> list[Thing]:
    """Return the artifacts as the page draws them, those it has already as they are."""
    before = {thing.id: thing for thing in known}
    return [before.get(row.id) or thing(execution_id, row, bodies.get(row.id)) for row in rows]


def thing(execution_id: str, row: ArtifactRow, body: bytes | None = None) -> Thing:
    """Return an artifact with the address that serves it, and what its kind shows of ``body``."""
    kind, shown = row.kind, {}
    if kind in DRAWN_KINDS:
        try:
            shown = _DRAW[kind]("" if body is None else body.decode())
        except (PayloadError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            shown = {}  # made by `context.artifact` with any body at all
        kind = kind if shown else "file"
    return Thing(
        id=row.id,
        name=row.name,
        step=row.step if row.item is None else f"{row.step} [{row.item}]",
        size=f"{row.size / 1024:.1f} KiB" if row.size >= 1024 else f"{row.size} B",
        href=f"/api/executions/{execution_id}/artifacts/{row.id}",
        kind=kind,
        **shown,
    )


def _markdown(text: str) -> dict[str, Any]:
    return {"html": to_html(text)} if text else {}


def _table(text: str) -> dict[str, Any]:
    told = decode(text)
    columns = [str(name) for name in told["columns"]]
    rest = len(told["rows"]) - _ROWS
    return {
        "columns": columns,
        "rows": [[_cell(row, name) for name in columns] for row in told["rows"][:_ROWS]],
        "more": f"and {rest:,} more rows: the download has them all" if rest > 0 else "",
    }


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    text = value if isinstance(value, str) else encode(value)
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _link(text: str) -> dict[str, Any]:
    told = decode(text)
    url = told["url"]
    return {"url": url, "title": str(told["title"] or url)} if is_web_address(url) else {}


_DRAW = {"markdown": _markdown, "table": _table, "link": _link}
