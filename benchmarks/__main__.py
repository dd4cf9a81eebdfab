"""Measure the whole product: throughput, latency, fan-out, open pages, beside the same run's floor.

On SQLite (``synchronous`` NORMAL; FULL for throughput and latency only) and on PostgreSQL, if
there is one: what ``--database`` names, else a server of our own with its own defaults. Each
measurement is repeated and the median counts. Nothing here passes or fails by time; a run whose
executions did not all complete with the right output fails.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks import floor, live, measure, report
from benchmarks.measure import Result, repeated
from benchmarks.product import Product, product
from benchmarks.stored import stored

REST_SECONDS = 2.5  # long enough for every queue to have gone to sleep


@dataclass(frozen=True)
class Sizes:
    """How much is measured: times in seconds, the rest are counts."""

    runs: int = 3
    executions: int = 200
    one_by_one: int = 100
    after_rest: int = 5
    fans: int = 20
    idle_seconds: float = 5
    floor_seconds: float = 2
    tabs: tuple[int, ...] = (20, 100)
    tab_seconds: float = 10


SHORT = Sizes(
    runs=1,
    executions=50,
    one_by_one=20,
    after_rest=2,
    fans=5,
    idle_seconds=2,
    floor_seconds=0.5,
    tabs=(3,),
    tab_seconds=1,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurements that the command line asks for."""
    parser = _parser()
    options = parser.parse_args(arguments)
    sizes = _sizes(options)
    results: dict[str, Any] = {}
    with report.ending(parser), report.databases(options) as urls:
        results |= report.machine(urls) | {"runs": sizes.runs, "databases": {}}
        measured = results["databases"]
        if report.SQLITE in urls:
            measured[report.SQLITE] = _sqlite(sizes)
            if not options.short:
                measured["sqlite_full"] = _sqlite_full(sizes)
        if report.POSTGRES in urls:
            measured[report.POSTGRES] = _postgres(
                report.fresh("bench", urls[report.POSTGRES], options), sizes
            )
        report.tell("Execution Engine, whole product running", results, measured, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("benchmarks", __doc__)
    report.add_database_options(parser)
    parser.add_argument("--runs", type=int, help="of each measurement; the median counts")
    parser.add_argument("--executions", type=int, help="how many at once")
    parser.add_argument("--short", action="store_true", help="little of everything, for CI")
    return parser


def _sizes(options: argparse.Namespace) -> Sizes:
    given = {"runs": options.runs, "executions": options.executions}
    wanted = {name: value for name, value in given.items() if value is not None}
    return replace(SHORT if options.short else Sizes(), **wanted)


def _sqlite(sizes: Sizes) -> Result:
    with product() as running:
        results = _everything(running, "", sizes)
    return _with_floor(results, floor.sqlite_floor(sizes.floor_seconds, "NORMAL"))


def _sqlite_full(sizes: Sizes) -> Result:
    with product(ENGINE_SQLITE_SYNCHRONOUS="FULL") as running:
        measure.warm_up(running)
        results = _throughput_and_latency(running, sizes)
    return _with_floor(results, floor.sqlite_floor(sizes.floor_seconds, "FULL"))


def _postgres(url: str, sizes: Sizes) -> Result:
    with product(url) as running:
        results = _everything(running, url, sizes)
    return _with_floor(results, floor.postgres_floor(url, sizes.floor_seconds))


def _everything(running: Product, url: str, sizes: Sizes) -> Result:
    measure.warm_up(running)
    return {
        **_throughput_and_latency(running, sizes),
        "latency_after_rest": measure.one_by_one(running, sizes.after_rest, rest=REST_SECONDS),
        "f50": repeated(partial(measure.fans, running, sizes.fans), sizes.runs),
        "stored": stored(running, url, sizes.executions),
        "idle": measure.at_rest(running, sizes.idle_seconds),
        "pages": {
            f"{tabs} tabs": live.pages(running, tabs, sizes.tab_seconds) for tabs in sizes.tabs
        },
    }


def _throughput_and_latency(running: Product, sizes: Sizes) -> Result:
    return {
        "w10": repeated(partial(measure.at_once, running, sizes.executions), sizes.runs),
        "latency": repeated(partial(measure.one_by_one, running, sizes.one_by_one), sizes.runs),
    }


def _with_floor(results: Result, commits: int) -> Result:
    w10 = results["w10"]
    ratio = round(w10["steps_s"] / commits, 3)
    return {**results, "w10": {**w10, "ratio_to_floor": ratio}, "floor_commits_s": commits}


if __name__ == "__main__":
    main()
