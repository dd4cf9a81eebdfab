"""What a step costs in large executions, against small ones of the same shape.

A chain, a fan-out with its join, and a random graph, of 100 and of 10,000 steps. A cost that
grows with the size of the execution shows here as a ratio well above one.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.product import Product, product

SMALL, LARGE = 100, 10_000
REPEATS = 5  # of the small one, of which the median counts
MOST_NEEDS = 3

Document = dict[str, Any]


def chain(size: int, _seed: int) -> Document:
    """Return a workflow of ``size`` steps in a row, whose output proves that all ran."""
    steps = {"s0": _call("add_one", x=0)}
    for index in range(1, size):
        steps[f"s{index}"] = _call("add_one", x=f"${{{{ steps.s{index - 1}.output }}}}")
    return {"steps": steps, "output": f"${{{{ steps.s{size - 1}.output }}}}"}


def fan(size: int, _seed: int) -> Document:
    """Return a workflow with ``size`` items and a join that counts them."""
    steps = {
        "list": _call("number_list", count=size),
        "each": _call("add_one", x="${{ item }}") | {"for_each": "${{ steps.list.output }}"},
        "join": {"uses": "transform", "with": {"value": "${{ steps.each.output.size() }}"}},
    }
    return {"steps": steps, "output": "${{ steps.join.output }}"}


def graph(size: int, seed: int) -> Document:
    """Return a workflow of ``size`` steps, each of which needs up to three random earlier ones."""
    draw = random.Random(seed)  # a shape, not a secret
    steps = {"s0": _call("add_one", x=0)}
    for index in range(1, size):
        wanted = {draw.randrange(index) for _ in range(draw.randint(1, MOST_NEEDS))}
        needs = [f"s{need}" for need in sorted(wanted)]
        steps[f"s{index}"] = _call("add_one", x=index) | {"needs": needs}
    return {"steps": steps, "output": size}


SHAPES: dict[str, Callable[[int, int], Document]] = {"chain": chain, "fan": fan, "graph": graph}


def _call(function: str, **arguments: Any) -> dict[str, Any]:
    return {
        "uses": "python",
        "with": {"function": f"benchmarks.workflows.{function}", **arguments},
    }


def measure(running: Product, shape: str, large: int, seed: int) -> dict[str, Any]:
    """Return what a step of the shape costs at both sizes, and what the workers' memory did."""
    small = sorted(_once(running, shape, SMALL, seed) for _ in range(REPEATS))[REPEATS // 2]
    before = running.worker_memory_mb()
    first = _once(running, shape, large, seed)
    # The first run makes the workers keep the parsed definition; from then on memory is flat.
    between = running.worker_memory_mb()
    big = min(first, _once(running, shape, large, seed))
    return {
        "shape": shape,
        "steps": large,
        "ms_per_step_small": round(small[0], 3),
        "ms_per_step_large": round(big[0], 3),
        "ratio": round(big[0] / small[0], 2),
        "cpu_ms_per_step_small": round(small[1], 3),
        "cpu_ms_per_step_large": round(big[1], 3),
        "cpu_ratio": round(big[1] / small[1], 2),
        "workers_mb": [round(before), round(between), round(running.worker_memory_mb())],
    }


def _once(running: Product, shape: str, size: int, seed: int) -> tuple[float, float]:
    """Run the shape once; return milliseconds and milliseconds of CPU per step."""
    running.forget()
    name = f"{shape}-{size}"
    running.publish({"name": name, **SHAPES[shape](size, seed)})
    cpu, begin = running.cpu_seconds(), time.perf_counter()
    running.start(name)
    running.wait(1, pause=0.01, seconds=1200)
    seconds, spent = time.perf_counter() - begin, running.cpu_seconds() - cpu
    assert running.outputs() == {str(size)}, running.outputs()
    return seconds / size * 1000, spent / size * 1000


def main() -> None:
    """Measure the shapes that the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks.shapes", description=__doc__)
    parser.add_argument("--shape", action="append", choices=SHAPES, help="only these")
    parser.add_argument("--database", default="", help="a PostgreSQL URL; default: SQLite")
    parser.add_argument("--steps", type=int, default=LARGE, help="of the large one")
    parser.add_argument("--seed", type=int, default=1, help="of the random graph")
    options = parser.parse_args()
    with product(options.database) as running:
        for _ in range(3):
            _once(running, "chain", SMALL, options.seed)
        results = [
            measure(running, shape, options.steps, options.seed)
            for shape in options.shape or SHAPES
        ]
    table = Table(*results[0])
    for result in results:
        table.add_row(*map(str, result.values()))
    Console(width=160).print(table)
    print(json.dumps({"shapes": results}))


if __name__ == "__main__":
    main()
