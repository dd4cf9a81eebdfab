"""What is to run at an execution's start and at its end: one row a node, and which are ready."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from engine.core.status import StepStatus
from engine.definition import Definition, Step

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
    expires_in: int | None = None  # µs
    reused: bool = False


def first_rows(
    definition: Definition, reusable: Mapping[int, StepStatus] | None = None
) -> list[PlannedRun]:
    """Return a row for each node but those that run at the end, roots queued.

    Args:
        definition: the pinned version.
        reusable: nodes that ended well in the origin (completed or skipped), for a retry. One is
            reused only when all it needs is reused too: what follows a failure runs again.
    """
    reused = _closed_under_needs(definition, reusable or {})
    rows = []
    for step in definition.steps:
        if step.closing:
            continue
        if step.index in reused:
            rows.append(PlannedRun(step.index, reused[step.index], 0, 0, step.queue, reused=True))
            continue
        left = sum(need not in reused for need in step.needs)
        ran = sum(reused.get(need) is StepStatus.COMPLETED for need in step.needs)
        rows.append(_planned(step, left, ran))
    return rows


def closing_rows(definition: Definition, *, undoes: bool) -> list[PlannedRun]:
    """Return a row for each node that runs at the end.

    Args:
        definition: the pinned version.
        undoes: whether the execution failed or was cancelled. If not, compensations are skipped
            at once; if so, one whose step has not completed is skipped when its turn comes, for
            it still stands between those before and after it.
    """
    skipped = (
        set()
        if undoes
        else {step.index for step in definition.closing if step.compensates is not None}
    )
    rows = []
    for step in definition.closing:
        if step.index in skipped:
            rows.append(PlannedRun(step.index, StepStatus.SKIPPED, 0, 0, step.queue))
            continue
        left = sum(need not in skipped for need in step.needs)
        rows.append(_planned(step, left, 0))
    return rows


def _planned(step: Step, left: int, ran: int) -> PlannedRun:
    status = StepStatus.PENDING if left else StepStatus.QUEUED
    return PlannedRun(step.index, status, left, ran, step.queue, expires_in(step))


def expires_in(step: Step) -> int | None:
    """Return how many µs the step may be queued, or None."""
    return None if step.expires is None else int(step.expires * 1e6)


def _closed_under_needs(
    definition: Definition, reusable: Mapping[int, StepStatus]
) -> dict[int, StepStatus]:
    """Return the reusable nodes whose every ancestor is reusable too."""
    reused = {step: status for step, status in reusable.items() if _may_be_reused(definition, step)}
    lost = [step.index for step in definition.steps if step.index not in reused]
    while lost:
        dependants = definition.steps[lost.pop()].dependants
        lost += [step for step in dependants if reused.pop(step, None) is not None]
    return reused


def _may_be_reused(definition: Definition, step: int) -> bool:
    return not definition.steps[step].closing


def same_steps(
    definition: Definition, origin: Definition, ended: Mapping[int, StepStatus]
) -> dict[int, int]:
    """Return, for each step of ``definition`` that ended well in the origin, its index there.

    Between two versions a step is the same when its name and its whole body are.
    """
    there = {step.name: step.index for step in origin.steps}
    here, before = definition.document["steps"], origin.document["steps"]
    return {
        step.index: there[step.name]
        for step in definition.steps
        if there.get(step.name) in ended and here[step.name] == before[step.name]
    }


def still_done(
    origin: Definition, ended: Mapping[int, StepStatus], begun: Set[int]
) -> dict[int, StepStatus]:
    """Return the steps of the origin that ended well and were not undone at its end.

    Args:
        origin: its version.
        ended: its steps that ended well.
        begun: its steps that were begun. A compensation that failed may have done half its work.
    """
    undone = {step.compensates for step in origin.closing if step.index in begun}
    return {step: status for step, status in ended.items() if step not in undone}


def without(definition: Definition, steps: Mapping[int, int], name: str) -> dict[int, int]:
    """Return ``steps`` but the one called ``name``; what follows it falls with it in the plan."""
    return {index: old for index, old in steps.items() if definition.steps[index].name != name}


def window_of(max_parallel: int, items: int) -> int:
    """Return how many items of a fan-out may be in flight at once."""
    return min(max_parallel, WINDOW, items)


def opened(*, in_flight: int, active: int, threads: int) -> int:
    """Return how many more items of a fan-out to queue when it has taken a while.

    One for each thread that has nothing of its execution to do: more messages would stand in the
    way of others. Items that sleep or wait hold no thread: of those as many more as there are.

    Args:
        in_flight: items begun or queued that have not ended.
        active: step runs of the execution that are queued or running.
        threads: of all workers that serve the step's queue.
    """
    return max(threads - active, in_flight - active, 0)


def window_end(items: int, size: int, kept: Set[int]) -> int:
    """Return the item before which ``size`` are not kept from the origin."""
    if not kept:
        return size
    left = [item for item in range(items) if item not in kept]
    return left[size - 1] + 1 if size <= len(left) else items
