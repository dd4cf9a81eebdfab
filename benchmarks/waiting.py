"""What waiting costs: thousands of parked executions, and steps that wait for the world.

Parked (half for an hour, half for a signal) an execution is a row and nothing else: measured are
the product's rest, its sweep and its throughput without them and with them, and how long a
thousand signals take to complete theirs. Steps that wait inside Python hold a thread each: a
thousand of a second each, on 2 processes of 64 threads, cannot take less than 7.8 s.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks import measure, report
from benchmarks.measure import Result, repeated, timed
from benchmarks.product import Product, product
from engine.flow.definition_cache import Versions
from engine.recovery import Rescue
from engine.recovery.redelivery import LEASE

SLEEP, SIGNAL, IO = "bench-sleep", "bench-signal", "bench-io"
SIGNAL_NAME = "bench"
PARK_SECONDS = 1200  # until all must be parked
SWEEPS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both kinds of waiting on each database."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with report.ending(parser), report.databases(options) as urls:
        columns: dict[str, Result] = {}
        for database, url in urls.items():
            columns[database] = {
                "parked": _parked(report.fresh("parked", url, options), options),
                "io": _io(report.fresh("io", url, options), options),
            }
        results: dict[str, Any] = report.machine(urls) | {"runs": options.runs}
        results["databases"] = columns
        report.tell("What waiting costs", results, columns, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("benchmarks.waiting", __doc__)
    report.add_database_options(parser)
    parser.add_argument("--parked", type=int, default=10_000, help="executions that wait")
    parser.add_argument("--signals", type=int, default=1000, help="how many of them to wake")
    parser.add_argument("--rest", type=float, default=20, help="seconds over which rest counts")
    parser.add_argument("--executions", type=int, default=200, help="of W10, at once")
    parser.add_argument("--runs", type=int, default=3, help="of W10; the median counts")
    parser.add_argument("--steps", type=int, default=1000, help="that wait for the world")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each of them waits")
    parser.add_argument("--processes", type=int, default=2, help="workers for those steps")
    parser.add_argument("--threads", type=int, default=64, help="of each worker for those steps")
    return parser


def _parked(url: str, options: argparse.Namespace) -> Result:
    with product(url) as running:
        measure.warm_up(running)
        without = _costs_of_being_there(running, options)
        parking = _park(running, options.parked)
        there = _costs_of_being_there(running, options)
        return {
            "executions": options.parked,
            "parking": parking,
            "without": without,
            "with": there,
            "woken": _wake(running, min(options.signals, options.parked // 2)),
        }


def _costs_of_being_there(running: Product, options: argparse.Namespace) -> Result:
    running.forget(measure.TEN)
    rest = measure.at_rest(running, options.rest)
    sweep = _sweep(running)
    w10 = repeated(partial(measure.at_once, running, options.executions), options.runs)
    return {"rest": rest, "sweep": sweep, "w10": w10}


def _park(running: Product, count: int) -> Result:
    """Start executions that wait, and return how long it took until all of them did."""

    def work() -> None:
        for number in range(count):
            if number % 2:
                running.start(SLEEP)
            else:
                running.start(SIGNAL, number=number // 2)
        until = time.monotonic() + PARK_SECONDS
        while (parked := _parked_now(running)) < count:
            assert time.monotonic() < until, f"{parked} of {count} wait after {PARK_SECONDS} s"
            time.sleep(0.1)

    result = timed(running.costs, work, steps=count)
    return {"executions_s": round(count / result["seconds"], 1), **result}


def _parked_now(running: Product) -> int:
    return sum(running.counts(workflow).get("waiting", 0) for workflow in (SLEEP, SIGNAL))


def _sweep(running: Product) -> Result:
    """Return how long a sweep takes when there is nothing to do.

    Made from here in the name of the process that holds the lease: two sweeps at once are
    harmless, and the workers do not tell how long theirs take.
    """
    client = running.client
    rescue = Rescue(
        client.settings,
        client.database,
        Versions(client.database),
        evidence=client.broker,
        look=lambda _look: None,
    )
    times = []
    for _ in range(SWEEPS):
        holder = running.query("SELECT holder FROM leases WHERE name = :name", name=LEASE)
        begin = time.perf_counter()
        sends = rescue.sweep(holder[0].holder, steady=True)
        times.append(time.perf_counter() - begin)
        assert not sends.now, "a sweep at rest found something to do"
    return {
        "n": SWEEPS,
        "median_ms": round(statistics.median(times) * 1000, 1),
        "max_ms": round(max(times) * 1000, 1),
    }


def _wake(running: Product, count: int) -> Result:
    """Signal ``count`` executions and return how long it took until all had completed."""

    def work() -> None:
        for number in range(count):
            running.client.signal(
                owner_id=running.owner_id,
                name=SIGNAL_NAME,
                correlation=str(number),
                body=number,
            )
        sent.append(time.perf_counter() - begin)
        running.wait(count, pause=0.02, workflow=SIGNAL)

    sent: list[float] = []
    begin = time.perf_counter()
    result = timed(running.costs, work, steps=count)
    outputs = running.outputs(SIGNAL) - {None}
    assert outputs == {str(number) for number in range(count)}, "each got its own signal"
    return {"signals": count, "sent_after_s": round(sent[0], 3), **result}


def _io(url: str, options: argparse.Namespace) -> Result:
    threads = {
        "ENGINE_WORKER_PROCESSES": str(options.processes),
        "ENGINE_WORKER_THREADS": str(options.threads),
    }
    at_once = options.processes * options.threads
    with product(url, **threads) as running:
        measure.warm_up(running)

        def work() -> None:
            for _ in range(options.steps):
                running.start(IO, seconds=options.seconds)
            running.wait(options.steps, pause=0.02, workflow=IO)

        result = timed(running.costs, work, steps=options.steps)
        assert running.outputs(IO) == {"1"}
        sent_again = running.sent_again()
    ideal = options.steps * options.seconds / at_once
    return {
        "steps": options.steps,
        "at_once": at_once,
        "ideal_s": round(ideal, 3),
        "overhead_s": round(result["seconds"] - ideal, 3),
        "sent_again": sent_again,
        **result,
    }


if __name__ == "__main__":
    main()
