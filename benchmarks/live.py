"""What open pages cost, and how soon they show what changed: many tabs on one execution.

A tab is a websocket that speaks as the page does. The execution they all show changes ten times a
second; measured is the time from each event, which begins with the transaction that commits it,
to its arrival in each tab. Then all show an execution that only waits, and the web server's share
of a core is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import measure, report
from benchmarks.costs import since
from benchmarks.measure import Result
from benchmarks.product import Product, product
from benchmarks.tabs import open_tabs
from engine_app.auth.viewer import open_session

BUSY, SIGNAL = "bench-busy", "bench-signal"
PER_SECOND = 10  # changes of the busy execution
_SETTLE_SECONDS = 3.0  # after the last tab has opened


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure with each number of tabs."""
    parser = report.parser("benchmarks.live", __doc__)
    parser.add_argument("--tabs", type=int, nargs="+", default=[20, 100], help="how many at once")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    options = parser.parse_args(arguments)
    with report.ending(parser), product() as running:
        measure.warm_up(running)
        columns = {f"{tabs} tabs": pages(running, tabs, options.seconds) for tabs in options.tabs}
        results: dict[str, Any] = report.machine() | {"live": columns}
        report.tell("What open pages cost", results, columns, options.out)


def pages(running: Product, tabs: int, seconds: float) -> Result:
    """Return how late that many tabs were, and what they cost busy and at rest."""
    return {
        "tabs": tabs,
        "busy": asyncio.run(_busy(running, tabs, seconds)),
        "idle": asyncio.run(_idle(running, tabs, seconds)),
    }


async def _busy(running: Product, tabs: int, seconds: float) -> Result:
    steps = round((seconds + tabs / 10 + 2 * _SETTLE_SECONDS) * PER_SECOND)
    execution_id = running.start(BUSY, count=steps, seconds=1 / PER_SECOND)
    async with open_tabs(running.url, _sessions(running, tabs), execution_id) as opened:
        await asyncio.sleep(min(_SETTLE_SECONDS, seconds))
        for tab in opened:
            tab.late.clear()
        before, begin = running.costs.cpu(), time.perf_counter()
        await asyncio.sleep(seconds)
        spent, took = since(before, running.costs.cpu()), time.perf_counter() - begin
        late = [one for tab in opened for one in tab.late]
        least = min(len(tab.late) for tab in opened)
    running.client.cancel(owner_id=running.owner_id, execution_id=execution_id)
    assert least >= seconds, f"a tab heard of {least} events in {seconds} s"
    return {
        "events_s": round(len(late) / len(opened) / took, 1),
        **measure.milliseconds(late),
        "cpu_percent": {name: round(cost / took * 100, 1) for name, cost in spent.items()},
    }


async def _idle(running: Product, tabs: int, seconds: float) -> Result:
    execution_id = running.start(SIGNAL, number=-1)
    async with open_tabs(running.url, _sessions(running, tabs), execution_id) as opened:
        await asyncio.sleep(min(_SETTLE_SECONDS, seconds))
        before, begin = running.costs.cpu(), time.perf_counter()
        await asyncio.sleep(seconds)
        spent, took = since(before, running.costs.cpu()), time.perf_counter() - begin
        assert all(tab.last for tab in opened), "a tab shows nothing"
    running.client.cancel(owner_id=running.owner_id, execution_id=execution_id)
    return {"web_cores": round(spent["web"] / took, 3)}


def _sessions(running: Product, tabs: int) -> list[str]:
    """Return a session for each tab, as if as many people with that account had signed in."""
    database = running.client.database
    return [open_session(database, running.owner_id, hours=1) or "" for _ in range(tabs)]


if __name__ == "__main__":
    main()
