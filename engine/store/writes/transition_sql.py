"""One encoding of a transition in SQL, for the guarded update and for the fast path."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, literal, or_

from engine.core.status import ExecutionStatus, Phase
from engine.core.transitions import Transition
from engine.store.tables import Execution, StepRun, table

_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)

Columns = tuple[tuple[str, ...], tuple[str, ...]]  # those that a transition sets, and adds to


def columns_of(transition: Transition) -> Columns:
    """Return which columns the transition writes: transitions with the same share a statement."""
    return tuple(transition.values), tuple(transition.adds)


def assignments(name: str, columns: Columns) -> dict[str, Any]:
    """Return what an UPDATE of a step run sets, with parameters that begin with ``name``."""
    given, added = columns
    values: dict[str, Any] = {column: bindparam(f"{name}_set_{column}") for column in given}
    values |= {column: _RUNS.c[column] + bindparam(f"{name}_add_{column}") for column in added}
    return {**values, "status": bindparam(f"{name}_target")}


def parameters(name: str, transition: Transition) -> dict[str, Any]:
    """Return the values of the parameters in ``assignments``, and of the guard's status."""
    return {
        **{f"{name}_set_{column}": value for column, value in transition.values.items()},
        **{f"{name}_add_{column}": value for column, value in transition.adds.items()},
        f"{name}_source": transition.source.value,
        f"{name}_target": transition.target.value,
    }


def item_counted(failed: Any) -> dict[str, Any]:
    """Return what an UPDATE of a fan-out's row sets when one of its items ended.

    ``failed`` is 1 for an item that failed, as a value or a parameter.
    """
    return {
        "items_left": _RUNS.c.items_left - 1,
        "items_next": _RUNS.c.items_next + 1,
        # Null where an earlier release expanded it: it counted none, for the first one ended all.
        "items_failed": func.coalesce(_RUNS.c.items_failed, 0) + failed,
    }


def is_moving() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return ``ExecutionState.moving`` as conditions on the execution's row."""
    may_run = (ExecutionStatus.RUNNING, ExecutionStatus.WAITING)
    return (
        _EXECUTIONS.c.status.in_([literal(status.value) for status in may_run]),
        or_(_EXECUTIONS.c.ending.is_(None), _EXECUTIONS.c.phase == Phase.CLOSING.value),
    )
