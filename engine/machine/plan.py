"""What an execution owes at its start: one row a node, and which of them are ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.definition import Definition
from engine.machine.status import StepStatus

ITEM_CHUNK = 500  # rows of a fan-out made in one transaction: others get their turn in between
WINDOW = 256  # items of one fan-out in flight at once, unless max_parallel says less


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A node's first row. ``reused`` ones take status and output from the origin."""

    step: int
    status: StepStatus
    needs_left: int
    needs_ran: int
    queue: str
    reused: bool = False


def first_rows(
    definition: Definition, reusable: Mapping[int, StepStatus] | None = None
) -> list[PlannedRun]:
    """Return a row for each node, roots queued.

    Args:
        definition: the pinned version.
        reusable: nodes that ended well in the origin (completed or skipped), for a retry. One is
            reused only when all it needs is reused too: what follows a failure runs again.
    """
    reused = _closed_under_needs(definition, reusable or {})
    rows = []
    for step in definition.steps:
        if step.index in reused:
            rows.append(PlannedRun(step.index, reused[step.index], 0, 0, step.queue, reused=True))
            continue
        left = sum(need not in reused for need in step.needs)
        ran = sum(reused.get(need) is StepStatus.COMPLETED for need in step.needs)
        status = StepStatus.PENDING if left else StepStatus.QUEUED
        rows.append(PlannedRun(step.index, status, left, ran, step.queue))
    return rows


def _closed_under_needs(
    definition: Definition, reusable: Mapping[int, StepStatus]
) -> dict[int, StepStatus]:
    """Return the reusable nodes whose every ancestor is reusable too."""
    reused = dict(reusable)
    lost = [step.index for step in definition.steps if step.index not in reused]
    while lost:
        dependants = definition.steps[lost.pop()].dependants
        lost += [step for step in dependants if reused.pop(step, None) is not None]
    return reused


def window_of(max_parallel: int, items: int) -> int:
    """Return how many items of a fan-out are queued at first."""
    return min(max_parallel, WINDOW, items)
