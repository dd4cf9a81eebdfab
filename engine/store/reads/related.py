"""What an execution has to do with others: its parent, its children, its origin, its reruns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, literal, select

from engine.definition import Definition
from engine.store.reads.rows import ExecutionRow, LinkRow
from engine.store.tables import Execution, Workflow, table
from engine.store.writes import workflows

LINKS_SHOWN = 100  # children, and executions it was run again as: the newest
CHILDREN_COUNTED = 20_000  # a fan-out has no more items
_EXECUTIONS = table(Execution)
_WORKFLOWS = table(Workflow)
_COLUMNS = (
    "id",
    "workflow_id",
    "version",
    "status",
    "rerun_from",
    "parent_step",
    "parent_item",
    "created_at",
    "finished_at",
)


@dataclass(frozen=True)
class Links:
    """The fields of ``ExecutionDetail`` that speak of other executions."""

    parent: LinkRow | None
    origin: LinkRow | None
    children: Sequence[LinkRow]
    children_total: int
    again: Sequence[LinkRow]


def links(
    connection: Connection, owner_id: str, row: ExecutionRow, definition: Definition
) -> Links:
    """Return what the owner's execution has to do with others of theirs."""
    read = _reader(connection, owner_id)
    children = read(_EXECUTIONS.c.parent_id == row.id) if definition.has_children else []
    parents = read(_EXECUTIONS.c.id == row.parent_id) if row.parent_id else []
    origins = read(_EXECUTIONS.c.id == row.origin_id) if row.origin_id else []
    return Links(
        parent=_parent(connection, row.id, parents[0]) if parents else None,
        origin=_link(origins[0], row.rerun_from) if origins else None,
        children=[
            _link(child, definition.steps[child.parent_step].name, child.parent_item)
            for child in children
        ],
        children_total=_count(connection, row.id)
        if len(children) == LINKS_SHOWN
        else len(children),
        again=[_link(one, one.rerun_from) for one in read(_EXECUTIONS.c.origin_id == row.id)],
    )


def _reader(connection: Connection, owner_id: str) -> Callable[[Any], Sequence[Row[Any]]]:
    def read(which: Any) -> Sequence[Row[Any]]:
        # Asked by itself: together with the owner SQLite would go through all of theirs instead.
        related = select(_EXECUTIONS.c.id).where(which).order_by(_EXECUTIONS.c.id.desc())
        ids = connection.execute(related.limit(LINKS_SHOWN)).scalars().all()
        if not ids:
            return []
        rows: Sequence[Any] = connection.execute(
            select(*(_EXECUTIONS.c[name] for name in _COLUMNS), _WORKFLOWS.c.name.label("workflow"))
            .join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)
            .where(_EXECUTIONS.c.id.in_(ids), _EXECUTIONS.c.owner_id == owner_id)
            .order_by(_EXECUTIONS.c.id.desc())
        ).all()
        return rows

    return read


def _parent(connection: Connection, child_id: str, parent: Row[Any]) -> LinkRow:
    """Return the parent with the step of it that started the child."""
    here = connection.execute(
        select(_EXECUTIONS.c.parent_step, _EXECUTIONS.c.parent_item).where(
            _EXECUTIONS.c.id == child_id
        )
    ).one()
    pair = (parent.workflow_id, parent.version)
    definition = workflows.definitions(connection, [pair]).get(pair)
    step = workflows.step_name(definition, here.parent_step)
    return _link(parent, step, here.parent_item)


def _link(row: Row[Any], step: str | None, item: int | None = None) -> LinkRow:
    return LinkRow(
        id=row.id,
        workflow=row.workflow,
        version=row.version,
        status=row.status,
        step=step,
        item=None if item is None or item < 0 else item,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _count(connection: Connection, execution_id: str) -> int:
    some = (
        select(literal(1).label("one"))
        .where(_EXECUTIONS.c.parent_id == execution_id)
        .limit(CHILDREN_COUNTED)
        .subquery()
    )
    return connection.execute(select(func.count()).select_from(some)).scalar_one()
