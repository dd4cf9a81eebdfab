"""What an execution takes over from its origin, and what it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, exists, insert, literal, select

from engine.core.status import Reason, StepStatus
from engine.store.tables import StepRun, table
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import chunks

_RUNS = table(StepRun)


_KEPT = (
    "step",
    "item",
    "status",
    "reason",
    "queue",
    "queued_at",
    "started_at",
    "finished_at",
    "items",
    "items_left",
    "items_next",
    "items_failed",
    "value",
    "input",
    "output",
    "error",
    "needs_ran",
    "attempts",
)


def copy_reused(tx: ExecutionTx, origin_id: str, steps: Mapping[int, int]) -> None:
    """Copy the ended rows of an origin, items too.

    Args:
        tx: of the execution that gets them.
        origin_id: whose they are.
        steps: by index here, the index there.
    """
    same = [step for step, there in steps.items() if step == there]
    # A fan-out is counted by its items, as when it was expanded.
    moved = [((there,), step) for step, there in steps.items() if step != there]
    for some, step in [*((part, None) for part in chunks(same)), *moved]:
        copied = _copy(tx, origin_id, some, step, _RUNS.c.item >= -1)
        counted = sum(not items for items in copied)
        tx.state.runs_total += counted
        tx.state.runs_done += counted


def copy_items(tx: ExecutionTx, origin_id: str, steps: Mapping[int, int]) -> None:
    """Copy what completed of fan-outs that failed, for their expansion to find.

    It counts them then, if their values are still the same.
    """
    ended = (_RUNS.c.item >= 0) & (_RUNS.c.status == StepStatus.COMPLETED.value)
    for step, there in steps.items():
        _copy(tx, origin_id, (there,), step, ended)


def _copy(
    tx: ExecutionTx, origin_id: str, steps: Sequence[int], step: int | None, which: Any
) -> list[int | None]:
    fixed: list[Any] = [
        literal(tx.state.id),
        literal(origin_id),
        literal(0),
        literal(0),
        literal(0),
    ]
    kept: list[Any] = [_RUNS.c[name] for name in _KEPT]
    if step is not None:
        kept[0] = literal(step)
    source = select(*fixed, *kept).where(
        _RUNS.c.execution_id == origin_id, _RUNS.c.step.in_(steps), which
    )
    names = ["execution_id", "reused_from", "epoch", "crashes", "needs_left", *_KEPT]
    copying = insert(_RUNS).from_select(names, source).returning(_RUNS.c["items"])
    return [row[0] for row in tx.connection.execute(copying)]


def reusable(connection: Connection, execution_id: str) -> dict[int, StepStatus]:
    """Return the nodes that ended well: a retry need not run them again."""
    skipped_well = [
        Reason.CONDITION_FALSE.value,
        Reason.NEEDS_SKIPPED.value,
        Reason.NOT_NEEDED.value,
    ]
    statement = select(_RUNS.c.step, _RUNS.c.status).where(
        _RUNS.c.execution_id == execution_id,
        _RUNS.c.item == -1,
        (_RUNS.c.status == StepStatus.COMPLETED.value)
        | ((_RUNS.c.status == StepStatus.SKIPPED.value) & _RUNS.c.reason.in_(skipped_well)),
    )
    return {row.step: StepStatus(row.status) for row in connection.execute(statement)}


def failed_fan_outs(connection: Connection, execution_id: str) -> list[int]:
    """Return the fan-outs that did not complete, but some of their items did.

    One taken over from an origin may not have been expanded again: its items count all the same.
    """
    items = _RUNS.alias("items")
    some = exists().where(
        items.c.execution_id == execution_id,
        items.c.step == _RUNS.c.step,
        items.c.item >= 0,
        items.c.status == StepStatus.COMPLETED.value,
    )
    return list(
        connection.execute(
            select(_RUNS.c.step).where(
                _RUNS.c.execution_id == execution_id,
                _RUNS.c.item == -1,
                _RUNS.c.status != StepStatus.COMPLETED.value,
                some,
            )
        ).scalars()
    )


def begun(connection: Connection, execution_id: str) -> set[int]:
    """Return the nodes that were claimed at least once, or had items that were."""
    return set(
        connection.execute(
            select(_RUNS.c.step)
            .where(
                _RUNS.c.execution_id == execution_id,
                _RUNS.c.started_at.is_not(None),
            )
            .distinct()
        ).scalars()
    )
