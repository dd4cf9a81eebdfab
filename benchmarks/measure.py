"""What is measured of a running product. Each result is checked, and none fails by time."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.costs import Costs, of_product, since
from benchmarks.product import Product

TEN, FAN, WIDTH = "bench-ten", "bench-fan", 50
STEPS_OF_TEN = 10
WARM_UP = 20
CALLERS = 8

Result = dict[str, Any]


def warm_up(running: Product) -> None:
    """Let every process import, connect and parse what it will need, and come to rest."""
    for _ in range(WARM_UP):
        running.start(TEN)
    running.start(FAN, count=WIDTH)
    running.wait(WARM_UP + 1, pause=0.05)
    running.calm_down()
    running.forget()


def at_once(running: Product, executions: int) -> Result:
    """W10: that many executions of ten steps at once, from the first start to the last end."""
    running.forget(TEN)

    def work() -> None:
        _start_at_once(running, executions, TEN)
        running.wait(executions, pause=0.01, workflow=TEN)

    result = timed(running.costs, work, steps=STEPS_OF_TEN * executions)
    assert running.outputs(TEN) == {str(STEPS_OF_TEN)}
    per_second = round(executions / result["seconds"], 1)
    return {"executions": executions, "executions_s": per_second, **result}


def _start_at_once(running: Product, executions: int, workflow: str, **given: int) -> None:
    """Start them from as many threads as the web server has callers at once, say: one alone would
    wait for each commit, and its own pace would be measured."""
    with ThreadPoolExecutor(CALLERS) as pool:
        for _ in pool.map(lambda _: running.start(workflow, **given), range(executions)):
            pass


def fans(running: Product, count: int) -> Result:
    """F50: that many fan-outs of fifty with a join, at once."""
    running.forget(FAN)

    def work() -> None:
        _start_at_once(running, count, FAN, count=WIDTH)
        running.wait(count, pause=0.01, workflow=FAN)

    result = timed(running.costs, work, steps=count * (WIDTH + 2))
    assert running.outputs(FAN) == {str(WIDTH * (WIDTH + 1) // 2)}
    return {"fans": count, "width": WIDTH, **result}


def one_by_one(running: Product, count: int, *, rest: float = 0) -> Result:
    """How long ten steps take, one execution at a time, each after ``rest`` seconds of nothing."""
    running.forget(TEN)
    times = []
    for _ in range(count):
        time.sleep(rest)
        begin = time.perf_counter()
        running.wait_for(running.start(TEN), pause=0.001)
        times.append(time.perf_counter() - begin)
    assert running.outputs(TEN) == {str(STEPS_OF_TEN)}
    return milliseconds(times)


def at_rest(running: Product, seconds: float) -> Result:
    """What the product costs while nothing happens."""
    running.calm_down()
    before, begin = running.costs.cpu(), time.perf_counter()
    time.sleep(seconds)
    spent, took = since(before, running.costs.cpu()), time.perf_counter() - begin
    return {
        "cpu_percent_of_a_core": round(of_product(spent) / took * 100, 1),
        "memory_pss_mb": round(running.memory_mb()),
        "cpu_percent": {name: round(cost / took * 100, 1) for name, cost in spent.items()},
        "memory_mb": {name: round(size) for name, size in running.costs.memory_mb().items()},
    }


def timed(costs: Costs, work: Callable[[], None], *, steps: int) -> Result:
    """Run ``work``, which takes ``steps`` steps, and return its time and what it cost.

    ``cores`` are how many cores each group kept busy: where their sum comes near the number of
    the machine's, the processors are the limit.
    """
    before, begin = costs.cpu(), time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    spent = since(before, costs.cpu())
    return {
        "seconds": round(seconds, 3),
        "steps_s": round(steps / seconds),
        "cpu_s_per_1000_steps": round(of_product(spent) / steps * 1000, 2),
        "cores": {name: round(cost / seconds, 2) for name, cost in spent.items()},
    }


def milliseconds(times: Sequence[float]) -> Result:
    """Return the median, the 95th percentile and the longest of times in seconds, in ms."""
    return {
        "n": len(times),
        "p50_ms": round(statistics.median(times) * 1000, 1),
        "p95_ms": round(percentile(times, 95) * 1000, 1),
        "max_ms": round(max(times) * 1000, 1),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that ``percent`` of a hundred do not exceed (nearest rank)."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def repeated(measurement: Callable[[], Result], runs: int) -> Result:
    """Measure several times; return the medians, and the runs themselves beside them."""
    results = [measurement() for _ in range(runs)]
    return {**medians(results), "runs": results}


def medians(results: Sequence[Result]) -> Result:
    """Return the median of each number of results that look alike."""
    return {
        name: medians([result[name] for result in results])
        if isinstance(value, dict)
        else statistics.median(result[name] for result in results)
        for name, value in results[0].items()
    }
