"""The fold that ``docs/events.md`` shows, as its reader would call it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from engine.codec import decode
from tests.support.documents import blocks

Key = tuple[int, int]  # step and item; -1 for the node itself


@cache
def _shown() -> dict[str, Any]:
    [text] = [block.text for block in blocks("docs/events.md") if block.file == "fold.py"]
    names: dict[str, Any] = {}
    exec(compile(text, "fold.py", "exec"), names)  # our own document
    return names


def fold(rows: Iterable[tuple[Any, ...]]) -> tuple[str, dict[Key, str]]:
    """Return the execution's status and that of each step run that left an event.

    Args:
        rows: seq, type, step, item and data of all events of an execution, as they are stored.
    """
    events = (
        {
            "seq": seq,
            "type": kind,
            "step": step,
            "item": item if item is not None and item >= 0 else None,
            "data": {} if data is None else decode(data),
        }
        for seq, kind, step, item, data in rows
    )
    status, runs = _shown()["fold"](events)
    return status, {
        (step, -1 if item is None else item): told for (step, item), told in runs.items()
    }
