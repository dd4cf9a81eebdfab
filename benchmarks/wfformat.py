"""Run workflows recorded in WfFormat 1.5 and prove that the order of every edge was respected.

Each task becomes a step that sleeps as long as the task ran, times a scale; each edge a need.
Afterwards the numbered events are compared with the edges: no step may have started before all
its parents' ends had been committed.

Source: https://wfcommons.org/format (schema version 1.5)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.product import Product, product
from engine.errors import Fault, InvalidDocument

VERSION = "1.5"
WAIT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded workflow: tasks by place, edges from parent to child, runtimes in seconds."""

    name: str
    runtimes: tuple[float, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def critical_path(self) -> float:
        """The longest way through the graph, in seconds: no number of workers makes it shorter."""
        parents: list[list[int]] = [[] for _ in self.runtimes]
        children: list[list[int]] = [[] for _ in self.runtimes]
        for parent, child in self.edges:
            parents[child].append(parent)
            children[parent].append(child)
        left = [len(wanted) for wanted in parents]
        ends = [0.0] * len(left)
        ready = [task for task, count in enumerate(left) if count == 0]
        while ready:
            task = ready.pop()
            begins = max((ends[parent] for parent in parents[task]), default=0.0)
            ends[task] = begins + self.runtimes[task]
            for child in children[task]:
                left[child] -= 1
                if left[child] == 0:
                    ready.append(child)
        return max(ends)


def read(path: Path) -> Recorded:
    """Return the workflow of a file.

    Raises:
        InvalidDocument: it is no WfFormat 1.5, with the path to what is missing.
    """
    try:
        source = json.loads(path.read_text())
    except ValueError as error:
        raise _invalid(path, "", f"is no JSON: {error}") from None
    if not isinstance(source, dict) or source.get("schemaVersion") != VERSION:
        raise _invalid(path, "schemaVersion", f"is not {VERSION}")
    try:
        tasks = source["workflow"]["specification"]["tasks"]
        ran = {
            task["id"]: float(task["runtimeInSeconds"])
            for task in source["workflow"].get("execution", {}).get("tasks", [])
        }
        places = {task["id"]: place for place, task in enumerate(tasks)}
        edges = {
            (places[task["id"]], places[child]) for task in tasks for child in task["children"]
        } | {(places[parent], places[task["id"]]) for task in tasks for parent in task["parents"]}
    except (KeyError, TypeError) as error:
        raise _invalid(path, "workflow.specification.tasks", f"lacks {error}") from None
    runtimes = tuple(ran.get(task["id"], 0.0) for task in tasks)
    return Recorded(path.stem, runtimes, tuple(sorted(edges)))


def _invalid(path: Path, where: str, problem: str) -> InvalidDocument:
    hint = "see https://wfcommons.org/format"
    return InvalidDocument(f"{path.name} is not WfFormat", faults=[Fault(where, problem, hint)])


def document(recorded: Recorded, name: str, scale: float) -> dict[str, Any]:
    """Return the workflow that does what was recorded, ``scale`` times as long."""
    needs: list[list[str]] = [[] for _ in recorded.runtimes]
    for parent, child in recorded.edges:
        needs[child].append(f"t{parent}")
    steps = {
        f"t{task}": {
            "uses": "python",
            "with": {"function": "benchmarks.workflows.work", "seconds": seconds * scale},
            "needs": wanted,
            "queue": "default",
        }
        for task, (seconds, wanted) in enumerate(zip(recorded.runtimes, needs, strict=True))
    }
    return {"name": name, "title": recorded.name, "steps": steps}


def violations(recorded: Recorded, events: Iterable[tuple[int, str, int]]) -> list[str]:
    """Return the edges whose order was not respected; ``events`` are (seq, type, task)."""
    started: dict[int, int] = {}
    completed: dict[int, int] = {}
    for seq, kind, task in events:
        if kind == "step_started":
            started.setdefault(task, seq)
        elif kind == "step_completed":
            completed[task] = seq
    never = sys.maxsize
    return [
        f"t{child} started before t{parent} had completed"
        for parent, child in recorded.edges
        if started.get(child, -1) < completed.get(parent, never)
    ] + [
        f"t{task} did not complete"
        for task in range(len(recorded.runtimes))
        if task not in completed
    ]


def run(running: Product, recorded: Recorded, number: int, scale: float) -> dict[str, Any]:
    """Run the workflow once and return what it took."""
    name = f"wfformat-{number}"
    running.publish(document(recorded, name, scale))
    begin = time.perf_counter()
    execution_id = running.start(name)
    running.wait(number, pause=0.005, seconds=WAIT_SECONDS)
    seconds = time.perf_counter() - begin
    sql = text(
        "SELECT seq, type, step FROM events WHERE execution_id = :id AND step IS NOT NULL"
        " ORDER BY seq"
    )
    events = running.client.database.read(
        lambda connection: connection.execute(sql, {"id": execution_id}).all()
    )
    tasks, critical = len(recorded.runtimes), recorded.critical_path * scale
    return {
        "file": recorded.name,
        "tasks": tasks,
        "edges": len(recorded.edges),
        "violations": violations(recorded, [(row.seq, row.type, row.step) for row in events]),
        "seconds": round(seconds, 3),
        "critical_path_s": round(critical, 3),
        "ratio": round(seconds / critical, 3) if critical else None,
        "ms_per_step": round((seconds - critical) / tasks * 1000, 2),
    }


def main() -> None:
    """Run the files that the command line names; end with 1 when an edge was not respected."""
    parser = argparse.ArgumentParser(prog="benchmarks.wfformat", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--database", default="", help="a PostgreSQL URL; default: SQLite")
    parser.add_argument(
        "--critical-path",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="scale the runtimes so that the longest way takes so long; default: no runtimes",
    )
    options = parser.parse_args()
    try:
        recorded = [read(path) for path in options.files]
    except InvalidDocument as error:
        parser.exit(2, f"{error}\n")
    results = []
    with product(options.database) as running:
        for number, one in enumerate(recorded, 1):
            longest = one.critical_path
            scale = options.critical_path / longest if longest else 0.0
            results.append(run(running, one, number, scale))
    _print(results)
    print(json.dumps({"files": results}))
    sys.exit(1 if any(result["violations"] for result in results) else 0)


def _print(results: list[dict[str, Any]]) -> None:
    table = Table(*results[0])
    for result in results:
        table.add_row(*(str(value or "–") for value in result.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
