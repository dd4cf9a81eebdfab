"""Recorded workflows: read, turned into documents, and their edges proven from events."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.wfformat import Recorded, document, read, violations
from engine.definition import parse
from engine.errors import InvalidDocument


def generated(seed: int, tasks: int) -> dict[str, Any]:
    """Return a WfFormat 1.5 document of a random graph, as a recorder would write it."""
    draw = random.Random(seed)
    parents: list[list[str]] = [
        [f"id{p}" for p in sorted(draw.sample(range(task), min(task, draw.randint(0, 3))))]
        for task in range(tasks)
    ]
    children = [
        [f"id{c}" for c in range(tasks) if f"id{task}" in parents[c]] for task in range(tasks)
    ]
    return {
        "name": "generated",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [
                    {"name": "x", "id": f"id{t}", "parents": parents[t], "children": children[t]}
                    for t in range(tasks)
                ]
            },
            "execution": {
                "tasks": [{"id": f"id{t}", "runtimeInSeconds": t + 1} for t in range(tasks)]
            },
        },
    }


def written(tmp_path: Path, source: Any) -> Path:
    path = tmp_path / "generated.json"
    path.write_text(json.dumps(source))
    return path


def test_every_edge_of_a_file_becomes_a_need_of_the_document(tmp_path: Path) -> None:
    recorded = read(written(tmp_path, generated(3, 40)))
    definition = parse(document(recorded, "wf", 0.5))
    found = {(need, step.index) for step in definition.steps for need in step.needs}
    assert found == set(recorded.edges)
    assert definition.steps[3].params.evaluate({})["seconds"] == 2.0


def test_the_critical_path_is_the_longest_way() -> None:
    diamond = Recorded("d", (1, 5, 2, 1), ((0, 1), (0, 2), (1, 3), (2, 3)))
    assert diamond.critical_path == 7


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([(1, "step_started", 0), (2, "step_completed", 0), (3, "step_started", 1)], 1),
        ([(1, "step_started", 0), (2, "step_started", 1), (3, "step_completed", 0)], 2),
        ([(1, "step_started", 1), (2, "step_completed", 1)], 2),
    ],
    ids=["child never completed", "child began early", "parent never ran"],
)
def test_an_edge_whose_order_was_not_respected_is_found(
    events: list[tuple[int, str, int]], found: int
) -> None:
    assert len(violations(Recorded("two", (0, 0), ((0, 1),)), events)) == found


def test_a_history_in_order_violates_nothing() -> None:
    events = [
        (1, "step_started", 0),
        (2, "step_completed", 0),
        (3, "step_started", 1),
        (4, "step_completed", 1),
    ]
    assert violations(Recorded("two", (0, 0), ((0, 1),)), events) == []


@pytest.mark.parametrize(
    "source",
    [{}, {"schemaVersion": "1.3"}, {"schemaVersion": "1.5", "workflow": {}}, []],
)
def test_what_is_no_wfformat_is_refused_with_a_path(tmp_path: Path, source: Any) -> None:
    with pytest.raises(InvalidDocument, match="not WfFormat"):
        read(written(tmp_path, source))
