"""The whole product as people run it: ``engine up`` in a folder of its own, seen from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from actors.client import Client, open_client
from engine.definition import parse
from engine.publish import publish
from engine.settings import Settings
from engine.store import users

BUSY = 0.15  # CPU seconds in one second above which the product is not at rest
READY_SECONDS = 300  # a first start builds the pages


@dataclass
class Product:
    """A running product, a client on it, and what it costs."""

    client: Client
    owner_id: str
    process: psutil.Process

    def start(self, workflow: str, **input: int) -> str:
        """Start an execution and return its id."""
        started = self.client.start(
            owner_id=self.owner_id, workflow_id=workflow, input=input, trigger="api"
        )
        return started.execution_id

    def publish(self, document: dict[str, Any]) -> None:
        """Publish a workflow's document."""
        publish(self.client.database, self.owner_id, parse(document))

    def wait(self, expected: int, *, pause: float, seconds: float = 300) -> None:
        """Return once ``expected`` executions have completed.

        Raises:
            AssertionError: one failed, or time is up: a number without its work is none.
        """
        until = time.monotonic() + seconds
        while True:
            counts = self.counts()
            assert set(counts) <= {"completed", "running", "pending", "waiting"}, counts
            if counts.get("completed", 0) >= expected:
                return
            assert time.monotonic() < until, f"not done in {seconds} s: {counts}"
            time.sleep(pause)

    def counts(self) -> dict[str, int]:
        """Return how many executions stand where."""
        sql = text("SELECT status, count(*) AS n FROM executions GROUP BY status")
        rows = self.client.database.read(lambda connection: connection.execute(sql).all())
        return {row.status: row.n for row in rows}

    def outputs(self) -> set[str]:
        """Return the different outputs there are."""
        sql = text("SELECT DISTINCT output FROM executions")
        rows = self.client.database.read(lambda connection: connection.execute(sql).all())
        return {row.output for row in rows}

    def forget(self) -> None:
        """Delete all executions, so that each measurement starts from nothing."""
        for table in (
            "step_runs",
            "events",
            "logs",
            "attempts",
            "artifacts",
            "notices",
            "executions",
        ):
            sql = text(f"DELETE FROM {table}")
            self.client.database.write(lambda connection, sql=sql: connection.execute(sql))  # type: ignore[misc]

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes of the product so far."""
        family = [self.process, *self.process.children(recursive=True)]
        total = 0.0
        for member in family:
            times = member.cpu_times()
            total += times.user + times.system
        return total

    def calm_down(self, seconds: float = 30) -> None:
        """Return once nothing is busy starting any more: that would be counted as work."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            before = self.cpu_seconds()
            time.sleep(1)
            if self.cpu_seconds() - before < BUSY:
                return

    def memory_mb(self) -> float:
        """Return the memory of all processes, shared pages counted once (PSS)."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(member.memory_full_info().pss for member in family) / 1e6

    def worker_memory_mb(self) -> float:
        """Return the memory of the worker processes, shared pages counted once (PSS)."""
        family = self.process.children(recursive=True)
        workers = [member for member in family if member.name().startswith(("worker ", "long "))]
        return sum(member.memory_full_info().pss for member in workers) / 1e6


@contextmanager
def product(database_url: str = "", **settings: str) -> Iterator[Product]:
    """Run the product until the block ends.

    Args:
        database_url: PostgreSQL's, or empty for SQLite in the product's own folder.
        settings: other variables, e.g. ``ENGINE_WORKER_PROCESSES``.
    """
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as home:
        port = _free_port()
        environment = {
            **os.environ,
            "ENGINE_HOME": home,
            "ENGINE_PORT": str(port),
            "ENGINE_MODULES": "benchmarks.workflows",
            **({"DATABASE_URL": database_url} if database_url else {}),
            **settings,
        }
        command = [sys.executable, "-m", "engine_app.cli", "up"]
        with Path(home, "up.log").open("w+") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                _await_ready(process, port, log.name)
                yield _connect(process, home, database_url)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)


def _connect(process: subprocess.Popen[bytes], home: str, database_url: str) -> Product:
    found = {"ENGINE_HOME": home, "DATABASE_URL": database_url}
    os.environ.update({name: value for name, value in found.items() if value})
    client = open_client(Settings())
    first = client.database.read(users.first)
    assert first is not None
    return Product(client, first.id, psutil.Process(process.pid))


def _await_ready(process: subprocess.Popen[bytes], port: int, log: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, Path(log).read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/ready", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"not ready in {READY_SECONDS} s:\n{Path(log).read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
