"""Measure the whole product: throughput, latency, fan-out, against the floor of the same run.

The floor is one INSERT and one COMMIT per step on the same database, with no engine at all:
machines differ, and a ratio to it travels where a number does not. Nothing here passes or fails
by time; a run whose executions did not all complete with the right output fails.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.product import Product, product
from engine.store.database import Database

AT_ONCE = 200
ONE_BY_ONE = 30
FANS = 20
WIDTH = 50
REST_SECONDS = 2.5  # long enough for every queue to have gone to sleep


def main() -> None:
    """Run the measurements that the command line asks for."""
    options = _options()
    results: dict[str, Any] = {"machine": platform.platform(), "python": platform.python_version()}
    with product(options.database) as running:
        for _ in range(20):
            running.start("bench-ten")
        running.wait(20, pause=0.05)
        running.calm_down()
        results["w10"] = _at_once(running, options.executions)
        results["latency"] = _one_by_one(running, ONE_BY_ONE, rest=0)
        results["latency_after_rest"] = _one_by_one(running, 5, rest=REST_SECONDS)
        results["f50"] = _fans(running)
        results["idle"] = _idle(running)
    results["floor_steps_s"] = _floor(options.database)
    results["w10"]["ratio_to_floor"] = round(
        results["w10"]["steps_s"] / results["floor_steps_s"], 3
    )
    _print(results)
    print(json.dumps(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--database", default="", help="a PostgreSQL URL; default: SQLite")
    parser.add_argument("--executions", type=int, default=AT_ONCE, help="how many at once")
    return parser.parse_args()


def _at_once(running: Product, count: int) -> dict[str, float]:
    def work() -> None:
        for _ in range(count):
            running.start("bench-ten")
        running.wait(count, pause=0.02)

    seconds, cpu = _timed(running, work)
    assert running.outputs() == {"10"}
    return {
        "executions": count,
        "seconds": round(seconds, 3),
        "executions_s": round(count / seconds, 1),
        "steps_s": round(10 * count / seconds),
        "cpu_s_per_1000_steps": round(cpu / (10 * count) * 1000, 2),
    }


def _one_by_one(running: Product, count: int, *, rest: float) -> dict[str, float]:
    running.forget()
    times = []
    for number in range(1, count + 1):
        time.sleep(rest)
        begin = time.perf_counter()
        running.start("bench-ten")
        running.wait(number, pause=0.001)
        times.append((time.perf_counter() - begin) * 1000)
    times.sort()
    return {
        "n": count,
        "p50_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[min(int(count * 0.95), count - 1)], 1),
        "max_ms": round(times[-1], 1),
    }


def _fans(running: Product) -> dict[str, float]:
    def work() -> None:
        for _ in range(FANS):
            running.start("bench-fan", count=WIDTH)
        running.wait(FANS, pause=0.02)

    seconds, cpu = _timed(running, work)
    steps = FANS * (WIDTH + 2)
    assert running.outputs() == {str(WIDTH * (WIDTH + 1) // 2)}
    return {
        "fans": FANS,
        "width": WIDTH,
        "seconds": round(seconds, 3),
        "steps_s": round(steps / seconds),
        "cpu_s_per_1000_steps": round(cpu / steps * 1000, 2),
    }


def _idle(running: Product, seconds: float = 5) -> dict[str, float]:
    running.forget()
    running.calm_down()
    before = running.cpu_seconds()
    time.sleep(seconds)
    cpu = running.cpu_seconds() - before
    return {
        "cpu_percent_of_a_core": round(cpu / seconds * 100, 1),
        "memory_pss_mb": round(running.memory_mb()),
    }


def _timed(running: Product, work: Callable[[], None]) -> tuple[float, float]:
    running.forget()
    cpu = running.cpu_seconds()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin, running.cpu_seconds() - cpu


def _floor(database_url: str, seconds: float = 2) -> int:
    """Return how many single-row commits per second one thread makes on such a database."""
    with tempfile.TemporaryDirectory(prefix="engine-floor-") as folder:
        database = Database.open(database_url or f"sqlite:///{folder}/floor.db")
        make = text("CREATE TABLE floor (n INTEGER)")
        database.write(lambda connection: connection.execute(make))
        insert = text("INSERT INTO floor (n) VALUES (:n)")
        count, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            database.write(lambda connection: connection.execute(insert, {"n": 1}))
            count += 1
        drop = text("DROP TABLE floor")
        database.write(lambda connection: connection.execute(drop))
        database.close()
    return round(count / seconds)


def _print(results: dict[str, Any]) -> None:
    table = Table("measured", "value", title="Execution Engine, whole product running")
    for name, value in results.items():
        if isinstance(value, dict):
            for key, number in value.items():
                table.add_row(f"{name}.{key}", str(number))
        else:
            table.add_row(name, str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
