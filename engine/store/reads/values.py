"""Values as people see them: whole while they are small, else how they begin and their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, select

from engine.codec import decode
from engine.io.payloads import HEAD, MARK, reference
from engine.store.reads.rows import Large
from engine.store.tables import StepRun, table

SHOWN = 1_000_000  # characters of a list of items' outputs that is shown whole
_FIRST = 10  # items of a larger one that are looked at for its preview

_RUNS = table(StepRun)
_ITEMS = (_RUNS.c.execution_id == bindparam("b_execution"), _RUNS.c.step == bindparam("b_step"))


@dataclass(frozen=True, slots=True)
class Shown:
    """A value, or what is known of one that is too large to be shown."""

    value: Any = None
    large: Large | None = None


def shown(text: str | None) -> Shown:
    """Return what a column stands for, as far as people are shown it."""
    found = reference(text)
    if found is not None:
        return Shown(large=Large(found.size, found.head))
    return Shown(None if text is None else decode(text))


def larges(**values: Shown) -> dict[str, Large]:
    """Return those of the values that are too large to be shown, by name."""
    return {name: found.large for name, found in values.items() if found.large is not None}


def output_of(connection: Connection, execution_id: str, step: int) -> Shown:
    """Return the list of the outputs of a fan-out's items; of another node its own output."""
    here = {"b_execution": execution_id, "b_step": step}
    node = select(_RUNS.c["items"], _RUNS.c.output).where(*_ITEMS, _RUNS.c.item == -1)
    found: Any = connection.execute(node, here).one_or_none()
    if found is None or found.items is None:
        return shown(None if found is None else found.output)
    output, each = _RUNS.c.output, (*_ITEMS, _RUNS.c.item >= 0)
    sizes = select(func.sum(func.length(output)), func.sum(_is_stored(output))).where(*each)
    length, stored = connection.execute(sizes, here).one()
    texts = select(output).where(*each).order_by(_RUNS.c.item)
    if not stored and (length or 0) <= SHOWN:
        outputs = connection.execute(texts, here).scalars()
        return Shown([None if text is None else decode(text) for text in outputs])
    first = connection.execute(texts.limit(_FIRST), here).scalars().all()
    head = "[" + ",".join(_head(text) for text in first)
    return Shown(large=Large(None, head[:HEAD]))


def _is_stored(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((func.substr(column, 1, 1) == MARK, 1), else_=0)


def _head(text: str | None) -> str:
    found = reference(text)
    return (text or "null")[:HEAD] if found is None else found.head
