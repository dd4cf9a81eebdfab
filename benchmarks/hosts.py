"""The engine across hosts, made of network namespaces on this machine: needs root and `ip`.

Host `a` carries PostgreSQL and Valkey under an address of its own, and starts the executions;
`b` and `c` each run worker processes, bare `dramatiq actors` as in docs/execution-engine.md.
Measured with the workers of `b` alone, then with those of both. All share this machine's cores,
and the wire between them is its memory: this shows that hosts add up, not how fast a network is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from actors.client import open_client
from benchmarks import measure, report
from benchmarks.costs import DATABASE, Costs, Groups, database_server, family
from benchmarks.measure import Result, repeated
from benchmarks.network import NETWORK, Host, hosts
from benchmarks.product import Product, connected
from benchmarks.servers import await_true, create_database, postgres, process, valkey
from engine.settings import Settings
from engine_app import bootstrap
from engine_app.supervisor import programs

WORKERS_SECONDS = 60  # until all workers must have introduced themselves
Processes = dict[str, list[subprocess.Popen[bytes]]]  # by group


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one host of workers, then two."""
    parser = _parser()
    options = parser.parse_args(arguments)
    results: dict[str, Any] = report.machine() | {"runs": options.runs}
    columns: dict[str, Result] = {}
    with report.ending(parser), hosts("a", "b", "c") as (servers, *workers):
        # From here on we are on the host of the servers; only its address is heard outside it.
        with servers.entered(), postgres(servers.address, clients=NETWORK) as server_url:
            for count in range(1, len(workers) + 1):
                url = create_database(server_url, f"hosts_{count}")
                columns[_title(workers[:count])] = _measure(url, servers, workers[:count], options)
        results["columns"] = columns
        report.tell("By number of hosts with workers, PostgreSQL", results, columns, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("benchmarks.hosts", __doc__)
    parser.add_argument("--processes", type=int, default=1, help="worker processes per host")
    parser.add_argument("--threads", type=int, default=8, help="of each worker process")
    parser.add_argument("--runs", type=int, default=3, help="of each; the median counts")
    parser.add_argument("--executions", type=int, default=200, help="of W10, at once")
    parser.add_argument("--fans", type=int, default=20, help="of F50, at once")
    parser.add_argument("--one-by-one", type=int, default=100, help="executions for the latency")
    return parser


def _title(workers: Sequence[Host]) -> str:
    return "workers on " + " and ".join(host.name for host in workers)


def _measure(
    url: str, servers: Host, workers: Sequence[Host], options: argparse.Namespace
) -> Result:
    """Return what the engine does with workers on these hosts; called on the servers' host."""
    with contextlib.ExitStack() as stack:
        redis_url, redis = stack.enter_context(valkey(servers.address))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-bench-")))
        ours: dict[str, Any] = {"DATABASE_URL": url, "REDIS_URL": redis_url, "home": home}
        settings = Settings(**ours, modules=("benchmarks.workflows",))
        bootstrap.prepare(settings)
        started = {host.name: _start_workers(stack, host, settings, options) for host in workers}
        client = open_client(settings)
        stack.callback(client.close)
        running = connected(client, _costs(url, {"valkey": [redis], **started}))
        expected = len(workers) * options.processes
        await_true(
            lambda: _present(running) == expected, seconds=WORKERS_SECONDS, what="workers are up"
        )
        return _results(running, started, options)


def _start_workers(
    stack: contextlib.ExitStack, host: Host, settings: Settings, options: argparse.Namespace
) -> list[subprocess.Popen[bytes]]:
    """Start a host's worker processes, each under a `dramatiq` of its own, and return them."""
    command = programs.worker(settings, programs.SHORT_QUEUES, options.threads)
    started = []
    for number in range(options.processes):
        # A home of its own, as on a machine of its own: nothing is shared but the two servers
        home = settings.home / f"{host.name}{number}"
        home.mkdir()
        environment = {
            **os.environ,
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "ENGINE_HOME": str(home),
            "ENGINE_MODULES": ",".join(settings.modules),
        }
        with host.entered():
            started.append(stack.enter_context(process(command, log=home / "log", env=environment)))
    return started


def _costs(url: str, started: Processes) -> Costs:
    servers = database_server(url)

    def groups() -> Groups:
        found = {
            name: [psutil.Process(one.pid) for one in processes]
            for name, processes in started.items()
        }
        return {
            name: [member for first in firsts for member in family(first)]
            for name, firsts in {**found, DATABASE: servers}.items()
        }

    return Costs(groups)


def _present(running: Product) -> int:
    return int(running.query("SELECT count(*) FROM workers WHERE stopped_at IS NULL")[0][0])


def _results(running: Product, started: Processes, options: argparse.Namespace) -> Result:
    measure.warm_up(running)
    w10 = repeated(partial(measure.at_once, running, options.executions), options.runs)
    shares = _shares(running, started)
    return {
        "processes": len(started) * options.processes,
        "w10": {**w10, "share_of_steps": shares},
        "f50": repeated(partial(measure.fans, running, options.fans), options.runs),
        "latency": measure.one_by_one(running, options.one_by_one),
    }


def _shares(running: Product, started: Processes) -> dict[str, float]:
    """Return which part of the last steps each host ran, and see that each ran some."""
    rows = running.query(
        "SELECT pid, count(*) AS n FROM step_runs JOIN workers ON workers.id = worker_id"
        " GROUP BY pid"
    )
    ran = {row.pid: row.n for row in rows}
    hosts_of = {
        member.pid: host
        for host, processes in started.items()
        for one in processes
        for member in family(psutil.Process(one.pid))
    }
    counts = dict.fromkeys(started, 0)
    for pid, count in ran.items():
        counts[hosts_of[pid]] += count
    assert all(counts.values()), f"a host ran nothing: {counts}"
    return {host: round(count / sum(counts.values()), 2) for host, count in counts.items()}


if __name__ == "__main__":
    main()
