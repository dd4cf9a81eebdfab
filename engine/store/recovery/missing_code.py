"""Which open executions have steps of certain kinds still before them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select

from engine.core.status import STEP_ENDS, Phase
from engine.store.tables import OPEN_EXECUTION, Execution, StepRun, Workflow, literally, table

_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_WORKFLOWS = table(Workflow)
_OPEN = literally("executions", OPEN_EXECUTION)
# Not the bare columns: their indexes have all that ever ran, and SQLite would go through one.
_OWNER: Any = _EXECUTIONS.c.owner_id.concat("")
_BY_AGE: Any = _EXECUTIONS.c.id.concat("")


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """A version that open executions are pinned to."""

    workflow_id: str
    workflow: str
    version: int
    newest_version: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open execution that waits for code; ``running`` when a step of it is claimed."""

    id: str
    input: str
    running: bool
    awaited: bool  # its parent waits for its end


def open_versions(connection: Connection, owner_id: str | None) -> list[OpenVersion]:
    """Return the versions of open executions: of this owner, or of all."""
    columns = [_EXECUTIONS.c.workflow_id, _EXECUTIONS.c.version, _OWNER.label("owner_id")]
    pinned = select(*columns).where(_OPEN).distinct().subquery()
    rows = connection.execute(
        select(pinned, _WORKFLOWS.c.name, _WORKFLOWS.c.latest_version)
        .join(_WORKFLOWS, _WORKFLOWS.c.id == pinned.c.workflow_id)
        .order_by(_WORKFLOWS.c.name, pinned.c.version)
    )
    found = [
        OpenVersion(row.workflow_id, row.name, row.version, row.latest_version)
        for row in rows
        if owner_id in (None, row.owner_id)
    ]
    return list(dict.fromkeys(found))


def count(
    connection: Connection,
    of: OpenVersion,
    owner_id: str | None,
    steps: Collection[int],
    *,
    at_end: bool,
) -> int:
    """Return how many open executions of the version have one of ``steps`` still before them.

    Args:
        connection: to read with.
        of: the version.
        owner_id: whose; None for everybody's.
        steps: by index.
        at_end: whether one of them runs at the end: it has no row until then.
    """
    waiting = _waiting(select(func.count()), of, owner_id, steps, at_end=at_end)
    return int(connection.execute(waiting).scalar_one())


def candidates(
    connection: Connection,
    of: OpenVersion,
    owner_id: str,
    steps: Collection[int],
    *,
    at_end: bool,
    limit: int,
) -> list[Candidate]:
    """Return these executions, oldest first; arguments as for ``count``."""
    running = exists().where(
        _RUNS.c.execution_id == _EXECUTIONS.c.id,
        _RUNS.c.status == "running",
        _RUNS.c["items"].is_(None),
    )
    columns = select(
        _EXECUTIONS.c.id,
        _EXECUTIONS.c.input,
        running.label("running"),
        and_(_EXECUTIONS.c.parent_id.is_not(None), _EXECUTIONS.c.parent_epoch.is_not(None)).label(
            "awaited"
        ),
    )
    waiting = _waiting(columns, of, owner_id, steps, at_end=at_end)
    rows = connection.execute(waiting.order_by(_BY_AGE).limit(limit))
    return [Candidate(row.id, row.input, bool(row.running), bool(row.awaited)) for row in rows]


def _waiting(
    statement: Select[Any],
    of: OpenVersion,
    owner_id: str | None,
    steps: Collection[int],
    *,
    at_end: bool,
) -> Select[Any]:
    before_it = exists().where(
        _RUNS.c.execution_id == _EXECUTIONS.c.id,
        _RUNS.c.step.in_(sorted(steps)),
        _RUNS.c.status.not_in(sorted(STEP_ENDS)),
    )
    ways = [before_it, _EXECUTIONS.c.runs_total == 0]
    if at_end:
        ways.append(_EXECUTIONS.c.phase == Phase.STEPS.value)
    owned = [] if owner_id is None else [owner_id == _OWNER]
    return statement.select_from(_EXECUTIONS).where(
        _OPEN,
        _EXECUTIONS.c.workflow_id == of.workflow_id,
        _EXECUTIONS.c.version == of.version,
        _EXECUTIONS.c.ending.is_(None),
        or_(*ways),
        *owned,
    )
