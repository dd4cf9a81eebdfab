"""What a long history costs: requests of people, and the work of workers beside an empty database.

Fills a database (``benchmarks.history``), runs the product on it, and asks its API as people and
programs do: each request at another place of the history. Then as many executions at once on it
as on an empty database, in turns.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
from sqlalchemy import make_url

from benchmarks import report, sizes
from benchmarks.history import DAY_US, DAYS, fill
from benchmarks.measure import TEN, WARM_UP, Result, at_once, medians, milliseconds
from benchmarks.product import Product, product
from engine.ids import first_id
from engine.store.db import migrate, schema_version
from engine_app.auth.tokens import create_token
from engine_app.serialize import iso
from engine_app.states import monitoring

TARGET_MS = {"postgresql": 20, "sqlite": 50}  # of the 95th of a hundred requests
WARM = 5  # requests of each kind that are not counted
NOWHERE = "a text that nobody wrote"

Ask = Callable[[], None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for, on each database."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with report.ending(parser), report.databases(options) as urls:
        columns = {}
        for database, url in urls.items():
            place = report.fresh("history", url, options)
            columns[database] = _sqlite(options) if not url else _measured(place, options)
        results = report.machine(urls) | {"databases": columns}
        report.tell(f"{options.executions:,} executions", results, columns, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("benchmarks.scale", __doc__)
    report.add_database_options(parser)
    parser.add_argument("--executions", type=int, default=1_000_000, help="of the history")
    parser.add_argument("--keep", default="", help="a folder for SQLite's file, which stays there")
    parser.add_argument("--requests", type=int, default=100, help="of each kind")
    parser.add_argument("--at-once", type=int, default=300, help="executions of ten steps at once")
    parser.add_argument("--rounds", type=int, default=3, help="of these, on each database")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def _sqlite(options: argparse.Namespace) -> Result:
    if options.keep:
        return _measured(f"sqlite:///{options.keep}/history.db", options)
    with tempfile.TemporaryDirectory(prefix="engine-scale-") as folder:
        return _measured(f"sqlite:///{folder}/history.db", options)


def _measured(url: str, options: argparse.Namespace) -> Result:
    begin = time.perf_counter()
    fill(url, options.executions, seed=options.seed, say=_say)
    filled: Result = {"fill_seconds": round(time.perf_counter() - begin, 1)}
    filled["bytes_per_execution"] = _bytes(url, options.executions)
    with product(url) as running:
        running.calm_down()
        reads = _reads(running, options)
    target = TARGET_MS[make_url(url).get_backend_name()]
    slow = [name for name, times in reads.items() if times["p95_ms"] > target]
    above = {"p95_above_target": ", ".join(slow) or "none", "target_ms": target}
    return filled | above | {"reads": reads, "w10": _work(url, options)}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _bytes(url: str, executions: int) -> dict[str, int]:
    found = {name: round(size / executions) for name, size in sizes.of(url).items()}
    return {name: size for name, size in found.items() if size}


# --- requests -------------------------------------------------------------------------------------


def _reads(running: Product, options: argparse.Namespace) -> dict[str, Result]:
    """Return the times of each kind of request, in milliseconds."""
    _token_id, secret = create_token(running.client.database, running.owner_id, "scale")
    headers = {"Authorization": f"Bearer {secret}"}
    found = {}
    with httpx.Client(base_url=f"{running.url}/api", headers=headers, timeout=120) as api:
        for name, ask in _kinds(running, api, random.Random(options.seed)).items():
            found[name] = _times(ask, options.requests)
            _say(f"{name}: {found[name]}")
    return found


def _times(ask: Ask, count: int) -> Result:
    for _ in range(WARM):
        ask()
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begin)
    return milliseconds(times)


def _kinds(running: Product, api: httpx.Client, draw: random.Random) -> dict[str, Ask]:
    now = running.client.database.now()

    def ago() -> int:
        return now - draw.randrange(2 * DAY_US, DAYS * DAY_US)

    def listed(**parameters: Any) -> list[dict[str, Any]]:
        answer = api.get("/executions", params={"limit": 50, **parameters})
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["items"]
        return rows

    def lists(*, empty: bool = False, **parameters: Any) -> Ask:
        def ask() -> None:
            wanted = {name: made() if callable(made) else made for name, made in parameters.items()}
            rows = listed(**wanted)
            assert rows or empty, f"nothing found by {wanted}"

        return ask

    ids = [row["id"] for _ in range(20) for row in listed(cursor=first_id(ago()), limit=10)]

    def one(path: str) -> Ask:
        def ask() -> None:
            answer = api.get(path.format(draw.choice(ids)))
            assert answer.status_code == 200, answer.text

        return ask

    def a_day() -> None:
        since = ago()
        assert listed(since=iso(since), until=iso(since + DAY_US))

    return {
        "newest 50": lists(),
        "50 deep in the history": lists(cursor=lambda: first_id(ago())),
        "status completed": lists(status="completed"),
        "status failed": lists(status="failed", cursor=lambda: first_id(ago())),
        "open ones": lists(status=["pending", "running", "waiting", "paused"]),
        "workflow": lists(workflow="orders", cursor=lambda: first_id(ago())),
        "workflow that ran rarely": lists(workflow="reminders"),
        "workflow and status": lists(workflow="orders", status="failed"),
        "trigger": lists(trigger="schedule", cursor=lambda: first_id(ago())),
        "a day": a_day,
        "text, found": lists(text="because the test says so"),
        "text, not found": lists(text=NOWHERE, empty=True),
        "text, not found, failed": lists(text=NOWHERE, status="failed", empty=True),
        "text, an id": lists(text=lambda: draw.choice(ids)),
        "counts": one("/executions/counts"),
        "workflows": one("/workflows"),
        "workers": one("/workers"),
        "dead letters": one("/dead-letters"),
        "approvals": one("/approvals"),
        "code that is missing": one("/executions/stranded"),
        "an execution": one("/executions/{}"),
        "a step": one("/executions/{}/steps/s4"),
        "its events": one("/executions/{}/events"),
        "its logs": one("/executions/{}/logs"),
        "reads of the monitoring page": lambda: _monitoring(running),
    }


def _monitoring(running: Product) -> None:
    assert monitoring.read(running.client.database, running.owner_id, monitoring.Filters()).lines


# --- work -----------------------------------------------------------------------------------------


def _work(url: str, options: argparse.Namespace) -> Result:
    """Return throughput on an empty database and on this one, in turns, and the ratio."""
    runs: dict[str, list[Result]] = {"empty": [], "full": []}
    with _empty_beside(url) as empty:
        for _ in range(options.rounds):
            for name, where in (("empty", empty), ("full", url)):
                with product(where) as running:
                    _warm_up(running)
                    runs[name].append(at_once(running, options.at_once))
                _say(f"{options.at_once} at once, {name}: {runs[name][-1]}")
    found: Result = {name: medians(results) for name, results in runs.items()}
    found["ratio"] = round(found["full"]["steps_s"] / found["empty"]["steps_s"], 2)
    return found | {"runs": list(runs.items())}


def _warm_up(running: Product) -> None:
    for _ in range(WARM_UP):
        running.start(TEN)
    running.wait(WARM_UP, pause=0.05, workflow=TEN)
    running.calm_down()


@contextmanager
def _empty_beside(url: str) -> Iterator[str]:
    """Yield an empty database of the same kind, on the same server."""
    here = schema_version.parsed(url)
    if schema_version.is_sqlite(here):
        with tempfile.TemporaryDirectory(prefix="engine-scale-") as folder:
            yield f"sqlite:///{folder}/empty.db"
        return
    name = f"{here.database}_empty"
    server = url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        empty = here.set(database=name).render_as_string(hide_password=False)
        migrate.upgrade(empty)
        yield empty
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


if __name__ == "__main__":
    main()
