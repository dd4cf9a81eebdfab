"""The whole product as people run it: ``engine up`` in a folder of its own, seen from outside."""

from __future__ import annotations

import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from sys import executable
from typing import Any

import psutil
from sqlalchemy import text

from actors.client import Client, open_client
from benchmarks.costs import DATABASE, Costs, database_server, family, groups_of_up, of_product
from benchmarks.servers import free_port, process
from engine.commands.publish import publish
from engine.definition import parse
from engine.settings import Settings
from engine.store.writes import users

BUSY = 0.15  # CPU seconds in one second above which the product is not at rest
READY_SECONDS = 300  # a first start builds the pages
OPEN = {"running", "pending", "waiting"}
_OF_EXECUTIONS = ("step_runs", "events", "logs", "attempts", "artifacts", "notices", "executions")


@dataclass
class Product:
    """A running product, a client on it, and what it costs."""

    client: Client
    owner_id: str
    costs: Costs
    log: Path | None = None  # what its processes say
    url: str = ""  # of its web server

    def start(self, workflow: str, **input: Any) -> str:
        """Start an execution and return its id."""
        started = self.client.start(
            owner_id=self.owner_id, workflow_id=workflow, input=input, trigger="api"
        )
        return started.execution_id

    def publish(self, document: dict[str, Any]) -> None:
        """Publish a workflow's document."""
        publish(self.client.database, self.owner_id, parse(document))

    def query(self, sql: str, **values: Any) -> list[Any]:
        """Return the rows of a SELECT."""
        statement = text(sql)
        return self.client.database.read(
            lambda connection: list(connection.execute(statement, values).all())
        )

    def wait(
        self, expected: int, *, pause: float, seconds: float = 300, workflow: str = ""
    ) -> None:
        """Return once ``expected`` executions have completed.

        Args:
            expected: how many.
            pause: seconds between two looks.
            seconds: how long it may take.
            workflow: count those of this workflow only.

        Raises:
            AssertionError: one failed, or time is up: a number without its work is none.
        """
        until = time.monotonic() + seconds
        while True:
            counts = self.counts(workflow)
            assert set(counts) <= {"completed", *OPEN}, counts
            if counts.get("completed", 0) >= expected:
                return
            assert time.monotonic() < until, f"not done in {seconds} s: {counts}"
            time.sleep(pause)

    def wait_for(self, execution_id: str, *, pause: float, seconds: float = 60) -> None:
        """Return once this execution has completed; raises AssertionError as ``wait``."""
        until = time.monotonic() + seconds
        sql = "SELECT status FROM executions WHERE id = :id"
        while (status := self.query(sql, id=execution_id)[0].status) != "completed":
            assert status in OPEN, status
            assert time.monotonic() < until, f"not done in {seconds} s: {status}"
            time.sleep(pause)

    def counts(self, workflow: str = "") -> dict[str, int]:
        """Return how many executions, or those of one workflow, stand where."""
        # Not the bare column: SQLite would take the index by status, and with it all workflows'.
        rows = self.query(
            "SELECT status || '' AS standing, count(*) AS n FROM executions"
            f" {_only(workflow)} GROUP BY status || ''",
            **self._named(workflow),
        )
        return {row.standing: row.n for row in rows}

    def outputs(self, workflow: str = "") -> set[str]:
        """Return the different outputs there are."""
        sql = f"SELECT DISTINCT output FROM executions {_only(workflow)}"
        return {row.output for row in self.query(sql, **self._named(workflow))}

    def forget(self, workflow: str = "") -> None:
        """Delete all executions, or those of a workflow: each measurement starts from nothing."""
        values = self._named(workflow)
        # Table by table, without the database having to follow each row's references
        tables = ("executions",) if workflow else _OF_EXECUTIONS
        for table in tables:
            sql = text(f"DELETE FROM {table} {_only(workflow)}")
            self.client.database.write(
                lambda connection, sql=sql: connection.execute(sql, values)  # type: ignore[misc]
            )

    def sent_again(self) -> int:
        """Return how often messages of steps counted as lost so far: each time costs seconds."""
        assert self.log is not None
        return self.log.read_text().count("sending them again")

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes of the product so far."""
        return of_product(self.costs.cpu())

    def calm_down(self, seconds: float = 30) -> None:
        """Return once nothing is busy starting any more: that would be counted as work."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            before = self.cpu_seconds()
            time.sleep(1)
            if self.cpu_seconds() - before < BUSY:
                return

    def memory_mb(self) -> float:
        """Return the memory of all processes of the product, shared pages counted once (PSS)."""
        return of_product(self.costs.memory_mb())

    def worker_memory_mb(self) -> float:
        """Return the memory of the worker processes, shared pages counted once (PSS)."""
        memory = self.costs.memory_mb()
        return memory["workers"] + memory["long steps"]

    def _named(self, workflow: str) -> dict[str, str]:
        if not workflow:
            return {}
        sql = "SELECT id FROM workflows WHERE owner_id = :owner AND name = :name"
        found = self.query(sql, owner=self.owner_id, name=workflow)
        return {"owner": self.owner_id, "workflow": found[0].id}


def _only(workflow: str) -> str:
    # By the owner too: an index begins with it
    return "WHERE owner_id = :owner AND workflow_id = :workflow" if workflow else ""


@contextmanager
def product(database_url: str = "", **settings: str) -> Iterator[Product]:
    """Run the product until the block ends.

    Args:
        database_url: empty for SQLite in the product's own folder.
        settings: other variables, e.g. ``ENGINE_WORKER_PROCESSES``.
    """
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as home:
        port = free_port()
        environment = {
            **os.environ,
            "ENGINE_HOME": home,
            "ENGINE_PORT": str(port),
            "ENGINE_MODULES": "benchmarks.workflows",
            "DATABASE_URL": database_url or f"sqlite:///{home}/engine.db",
            **settings,
        }
        log = Path(home, "up.log")
        with process([executable, "-m", "engine_app.cli", "up"], log=log, env=environment) as up:
            _await_ready(up, port, log)
            ours: dict[str, Any] = {"home": home, "DATABASE_URL": environment["DATABASE_URL"]}
            if "ENGINE_SQLITE_SYNCHRONOUS" in settings:  # what we start is part of the work
                ours["sqlite_synchronous"] = settings["ENGINE_SQLITE_SYNCHRONOUS"]
            client = open_client(Settings(**ours))
            try:
                running = connected(client, _costs(psutil.Process(up.pid), database_url))
                running.log, running.url = log, f"http://127.0.0.1:{port}"
                yield running
            finally:
                client.close()


def connected(client: Client, costs: Costs) -> Product:
    """Return the product that a client works on, whose first user owns all that is measured."""
    first = client.database.read(users.first)
    assert first is not None
    return Product(client, first.id, costs)


def _costs(up: psutil.Process, database_url: str) -> Costs:
    has_server = database_url and not database_url.startswith("sqlite")
    server = database_server(database_url) if has_server else []

    def groups() -> dict[str, list[psutil.Process]]:
        beside = {DATABASE: [member for first in server for member in family(first)]}
        return {**groups_of_up(up), **(beside if server else {})}

    return Costs(groups)


def _await_ready(up: Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert up.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/ready", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"not ready in {READY_SECONDS} s:\n{log.read_text()}")
