"""Whether long steps hold short ones up: eight of a minute each, and short ones all the while.

`marked`: the long steps are on the queue for such steps, which has a process of its own.
`among short`: nobody has marked them, so that they hold ordinary threads; the short steps then
have to find the threads that are free. Told is how long a short step was queued before a worker
began it, by the engine's own rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import measure, report
from benchmarks.measure import Result, milliseconds
from benchmarks.product import Product, product
from benchmarks.servers import await_true

SHORT = "bench-one"
LONG = {"marked": "bench-long", "among short": "bench-long-among-short"}
LONG_SECONDS = 60.0  # times the scale
ARRIVING = 0.9  # of that time short ones arrive
PATIENCE = 60  # seconds until what was started must have begun, or ended


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both variants on each database."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with report.ending(parser), report.databases(options) as urls:
        columns: dict[str, Result] = {}
        for database, url in urls.items():
            with product(report.fresh("mix", url, options)) as running:
                measure.warm_up(running)
                for variant in options.variant or LONG:
                    columns[f"{database}, {variant}"] = _mix(running, variant, options)
        results: dict[str, Any] = report.machine(urls) | {"columns": columns}
        report.tell("Short steps beside long ones", results, columns, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("benchmarks.mix", __doc__)
    report.add_database_options(parser)
    parser.add_argument("--variant", action="append", choices=LONG, help="only this one")
    parser.add_argument("--long", type=int, default=8, help="long steps at once")
    parser.add_argument("--scale", type=float, default=1.0, help="1: long steps take 60 s")
    parser.add_argument("--rate", type=float, default=20.0, help="short executions a second")
    return parser


def _mix(running: Product, variant: str, options: argparse.Namespace) -> Result:
    """Return how long the short steps waited while the long ones ran."""
    long, seconds = LONG[variant], LONG_SECONDS * options.scale
    at_once = min(options.long, _room(running, variant))
    running.forget()
    before = running.sent_again()
    for _ in range(options.long):
        running.start(long, seconds=seconds)
    await_true(
        lambda: _running(running, long) == at_once,
        seconds=PATIENCE,
        what=f"{at_once} steps of {long} run",
    )
    # The last must not arrive when the long ones have ended: it would have it easier.
    count, took = _arrive(running, options.rate, seconds * ARRIVING)
    assert _running(running, long) == at_once, "a long step ended before the last short one"
    for workflow, expected in ((SHORT, count), (long, options.long)):
        running.wait(expected, pause=0.05, workflow=workflow)
    assert running.outputs(SHORT) == running.outputs(long) == {"1"}
    return {
        "long": {"n": options.long, "seconds": seconds, "by_worker": _by_worker(running, long)},
        "short": {"n": count, "per_s": round(count / took, 1)},
        "queued": milliseconds(_waits(running, "step_runs.queued_at")),
        "sent_again": running.sent_again() - before,
        "since_start": milliseconds(_waits(running, "executions.created_at")),
    }


def _room(running: Product, variant: str) -> int:
    """Return how many long steps can run at once."""
    settings = running.client.settings
    if variant == "marked":
        return settings.long_threads
    return settings.worker_processes * settings.worker_threads


def _running(running: Product, workflow: str) -> int:
    return sum(row.n for row in _steps_by_worker(running, workflow) if row.status == "running")


def _by_worker(running: Product, workflow: str) -> str:
    """Return how the steps were shared among the workers, as ``5 + 3``."""
    counts = sorted((row.n for row in _steps_by_worker(running, workflow)), reverse=True)
    return " + ".join(map(str, counts))


def _steps_by_worker(running: Product, workflow: str) -> list[Any]:
    return running.query(
        "SELECT worker_id, step_runs.status, count(*) AS n FROM step_runs"
        " JOIN executions ON executions.id = execution_id"
        " JOIN workflows ON workflows.id = workflow_id WHERE workflows.name = :name"
        " GROUP BY worker_id, step_runs.status",
        name=workflow,
    )


def _arrive(running: Product, rate: float, seconds: float) -> tuple[int, float]:
    """Start short executions at an even rate; return how many, and in how many seconds."""
    begin, count = time.perf_counter(), round(rate * seconds)
    for number in range(count):
        time.sleep(max(begin + number / rate - time.perf_counter(), 0))
        running.start(SHORT)
    return count, time.perf_counter() - begin


def _waits(running: Product, since: str) -> list[float]:
    """Return how many seconds after ``since`` each short step began."""
    rows = running.query(
        f"SELECT step_runs.started_at - {since} AS wait FROM step_runs"
        " JOIN executions ON executions.id = execution_id"
        " JOIN workflows ON workflows.id = workflow_id WHERE workflows.name = :name",
        name=SHORT,
    )
    return [row.wait / 1e6 for row in rows]


if __name__ == "__main__":
    main()
