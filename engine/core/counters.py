"""An execution's counters as its rows have them: to judge them by, and to set them right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from engine.core.history import History, RunRecord
from engine.core.status import EXECUTION_ENDS, STEP_ENDS, Phase


@dataclass(slots=True)
class Counts:
    """What the counters should be; None or absent where they mean nothing any more."""

    active: int
    steps_left: int | None = None
    items_left: dict[int, int] = field(default_factory=dict)  # by the step of an open fan-out
    item_rows: dict[int, int] = field(default_factory=dict)  # likewise: how many items it has
    needs_left: dict[int, int] = field(default_factory=dict)  # by the step of a pending node


def counted(history: History) -> Counts:
    """Return the counters of a history whose definition is known."""
    assert history.definition is not None
    head, runs = history.head, history.runs
    # A fan-out's own row runs without a claim: it is not counted as active.
    counts = Counts(sum(_active(run) for run in runs.values()))
    if not runs or head.phase == Phase.ABANDONED:
        return counts
    in_closing = head.phase == Phase.CLOSING
    if head.ending is not None and not in_closing:
        return counts  # what was dropped is not counted down any more
    steps = history.definition.steps
    nodes = {
        run.step: run
        for run in runs.values()
        if run.item < 0 and run.step < len(steps) and steps[run.step].closing == in_closing
    }
    counts.steps_left = sum(run.status not in STEP_ENDS for run in nodes.values())
    _count_items(history, nodes, counts)
    if head.status not in EXECUTION_ENDS:
        for step, run in nodes.items():
            if run.status == "pending":
                counts.needs_left[step] = sum(
                    not _ended(runs.get((need, -1))) for need in steps[step].needs
                )
    return counts


def _count_items(history: History, nodes: dict[int, RunRecord], counts: Counts) -> None:
    fan_outs = {
        step for step, run in nodes.items() if run.items is not None and run.reused_from is None
    }
    found: dict[int, int] = defaultdict(int)
    left: dict[int, int] = defaultdict(int)
    for run in history.runs.values():
        if run.item >= 0 and run.step in fan_outs:
            found[run.step] += 1
            left[run.step] += run.status not in STEP_ENDS
    for step in fan_outs:
        counts.item_rows[step] = found[step]
        counts.items_left[step] = left[step]


def _active(run: RunRecord) -> bool:
    return run.status == "queued" or (run.status == "running" and run.items is None)


def _ended(run: RunRecord | None) -> bool:
    return run is not None and run.status in STEP_ENDS
