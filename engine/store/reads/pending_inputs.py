"""What waits for a decision, for whoever may take it: an owner, or one who is named.

Those who are named see exactly this much of an execution that is not theirs, and only while it
waits for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, or_, select

from engine.core.pending_input import Kind
from engine.errors import NotFound
from engine.ids import is_id
from engine.io.payloads import reference
from engine.store.db.database import Database
from engine.store.db.pagination import Page, check_limit, no_cursor
from engine.store.reads.rows import ApprovalRow
from engine.store.reads.waits import approval_of
from engine.store.tables import AWAITING, Execution, StepRun, User, Workflow, literally, table
from engine.store.writes import workflows

_AT_ONCE = 200  # rows read at once
_RUNS = table(StepRun)
_EXECUTIONS = table(Execution)
_WORKFLOWS = table(Workflow)
_USERS = table(User)
_AWAITING = literally("step_runs", AWAITING)


def approvals(
    connection: Connection,
    user_id: str,
    user_name: str,
    *,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[ApprovalRow]:
    """Return the approvals that this user may decide, those of the newest executions first.

    The payload store is not asked: what lies there of an approval is left out, however many
    there are. Theirs are those of their own executions that name nobody, and all that name them.

    Args:
        cursor: of the page before; stays right while others are decided.
        limit: 1 to 200.

    Raises:
        InvalidQuery: the cursor is not one that a page gave, or a limit that is not allowed.
    """
    check_limit(limit)
    after = None if cursor is None else _place(cursor)
    found: list[Row[Any]] = []
    while len(found) <= limit:
        rows = connection.execute(_page(user_id, user_name, after)).all()
        found += [row for row in rows if may_decide(row, user_id, user_name)]
        if len(rows) < _AT_ONCE:
            break
        after = (rows[-1].execution_id, rows[-1].step, rows[-1].item)
    shown = found[:limit]
    last = shown[-1] if len(found) > limit else None
    return Page(
        _rows(connection, shown, user_id),
        None if last is None else f"{last.execution_id}.{last.step}.{last.item}",
    )


def approval(
    database: Database,
    user_id: str,
    user_name: str,
    *,
    execution_id: str,
    step: str,
    item: int | None = None,
) -> ApprovalRow:
    """Return one approval that waits for this user, with all that it asks for.

    What lies in the payload store is read with no transaction open.

    Raises:
        NotFound: none waits there, or not for them.
        PayloadLost, Unavailable: from the payload store.
    """
    found, text = database.read(
        lambda connection: _one(
            connection, user_id, user_name, execution_id=execution_id, step=step, item=item
        )
    )
    if reference(text) is None:
        return found
    whole = approval_of(database.payloads.read(text, f"steps.{step}: its parameters"))
    return replace(found, **whole)


def _one(
    connection: Connection,
    user_id: str,
    user_name: str,
    *,
    execution_id: str,
    step: str,
    item: int | None,
) -> tuple[ApprovalRow, str]:
    which = _RUNS.c.execution_id == execution_id
    which &= _RUNS.c.item == (-1 if item is None else item)
    rows = connection.execute(_select(user_id, user_name).where(which)).all()
    mine = [row for row in rows if may_decide(row, user_id, user_name)]
    for found, row in zip(_rows(connection, mine, user_id), mine, strict=True):
        if found.step == step:
            return found, row.input
    raise NotFound(f"no approval of step {step} of execution {execution_id} waits for you")


def may_decide(row: Row[Any], user_id: str, user_name: str) -> bool:
    """Return whether the decision is this user's, by the row's owner_id and input."""
    approvers = approval_of(row.input)["approvers"]
    return user_name in approvers if approvers else bool(row.owner_id == user_id)


def _select(user_id: str, user_name: str) -> Select[Any]:
    # A name has no character that JSON escapes; whether it stands among the approvers or
    # somewhere else is looked at row by row. A reference to what is kept elsewhere has them too.
    named = _RUNS.c.input.contains(f'"{user_name}"', autoescape=True)
    columns = ("execution_id", "step", "item", "input", "started_at", "due_at")
    return (
        select(
            *(_RUNS.c[name] for name in columns),
            *(_EXECUTIONS.c[name] for name in ("owner_id", "workflow_id", "version")),
            _WORKFLOWS.c.name.label("workflow"),
            _USERS.c.name.label("owner"),
        )
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)
        .join(_USERS, _USERS.c.id == _EXECUTIONS.c.owner_id)
        .where(
            _AWAITING,
            _RUNS.c.wait_for == Kind.APPROVAL.value,
            or_(_EXECUTIONS.c.owner_id == user_id, named),
        )
    )


def _page(user_id: str, user_name: str, after: tuple[str, int, int] | None) -> Select[Any]:
    statement = _select(user_id, user_name)
    if after is not None:
        execution_id, step, item = after
        later = or_(_RUNS.c.step > step, and_(_RUNS.c.step == step, _RUNS.c.item > item))
        statement = statement.where(
            or_(
                _RUNS.c.execution_id < execution_id,
                and_(_RUNS.c.execution_id == execution_id, later),
            )
        )
    return statement.order_by(_RUNS.c.execution_id.desc(), _RUNS.c.step, _RUNS.c.item).limit(
        _AT_ONCE
    )


def _place(cursor: str) -> tuple[str, int, int]:
    execution_id, _, rest = cursor.partition(".")
    step, _, item = rest.partition(".")
    numbers = (step, item.removeprefix("-"))
    if not is_id(execution_id) or not all(one.isdecimal() and len(one) < 10 for one in numbers):
        raise no_cursor()
    return execution_id, int(step), int(item)


def _rows(connection: Connection, found: Sequence[Row[Any]], user_id: str) -> list[ApprovalRow]:
    known = workflows.definitions(connection, {(row.workflow_id, row.version) for row in found})
    return [
        ApprovalRow(
            execution_id=row.execution_id,
            step=workflows.step_name(known.get((row.workflow_id, row.version)), row.step),
            item=None if row.item < 0 else row.item,
            workflow=row.workflow,
            version=row.version,
            owner=row.owner,
            mine=row.owner_id == user_id,
            **approval_of(row.input),
            since_at=row.started_at,
            until_at=row.due_at,
        )
        for row in found
    ]
