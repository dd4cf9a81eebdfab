"""What more worker processes give on one machine: 1, 2 and 4 of them.

W10 is 200 executions at once of ten steps that do nothing, F50 twenty fan-outs of fifty with a
join. ``cores`` tells how many cores each group of processes kept busy: where the sum comes near
the number of the machine's, more processes cannot help.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks import measure, report
from benchmarks.measure import Result, repeated
from benchmarks.product import product


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each number of processes on each database."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with report.ending(parser), report.databases(options) as urls:
        columns: dict[str, Result] = {}
        for database, url in urls.items():
            for count in options.processes:
                named = report.fresh(f"processes_{count}", url, options)
                columns[f"{database}, {count}"] = _measure(named, count, options)
        results: dict[str, Any] = report.machine(urls) | {"runs": options.runs}
        results["columns"] = columns
        report.tell("By number of worker processes", results, columns, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("benchmarks.processes", __doc__)
    report.add_database_options(parser)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--runs", type=int, default=3, help="of each; the median counts")
    parser.add_argument("--executions", type=int, default=200, help="of W10, at once")
    parser.add_argument("--fans", type=int, default=20, help="of F50, at once")
    return parser


def _measure(url: str, count: int, options: argparse.Namespace) -> Result:
    with product(url, ENGINE_WORKER_PROCESSES=str(count)) as running:
        measure.warm_up(running)
        w10 = partial(measure.at_once, running, options.executions)
        f50 = partial(measure.fans, running, options.fans)
        return {
            "processes": count,
            "w10": repeated(w10, options.runs),
            "f50": repeated(f50, options.runs),
        }


if __name__ == "__main__":
    main()
