"""A PostgreSQL server for the tests: the one that is named, else one of our own, thrown away.

Its binaries are the machine's, else those of a wheel.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks.servers import Lacking, cluster, find_postgres, other_user
from tests.support.needs import lacking
from tests.support.processes import eventually, free_port, server


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of a server where the tests may create databases."""
    named = os.environ.get("ENGINE_TEST_POSTGRES")
    if named:
        yield named.replace("postgresql+psycopg://", "postgresql://", 1)
        return
    with own_server() as server_of_ours:
        yield server_of_ours.url


@dataclass
class OwnServer:
    """A PostgreSQL of our own, which may be crashed."""

    url: str
    process: subprocess.Popen[bytes]
    _start: Callable[[], subprocess.Popen[bytes]]

    def crash(self) -> None:
        """End it at once, as ``pg_ctl stop -m immediate``: every session is cut where it stands."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def start_again(self) -> None:
        """Start it after a crash; returns once it has recovered and lets clients in."""
        self.process = self._start()


@contextmanager
def own_server(*, durable: bool = False) -> Iterator[OwnServer]:
    """Yield a server that nobody else uses; a ``durable`` one keeps its promises in a crash."""
    binaries = find_postgres()
    if binaries is None:
        lacking("no PostgreSQL: set ENGINE_TEST_POSTGRES to a URL, or install postgresql")
    with tempfile.TemporaryDirectory(prefix="engine-test-pg-") as folder, ExitStack() as stack:
        command, user = _prepared(binaries, Path(folder), durable=durable)
        port = int(command[command.index("-p") + 1])
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

        def start() -> subprocess.Popen[bytes]:
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave
            process = stack.enter_context(
                server(command, port=port, log=Path(folder) / "log", user=user, stop=signal.SIGINT)
            )
            # It listens a moment before it lets anybody in.
            eventually(lambda: _lets_in(url), seconds=20, what="PostgreSQL lets a client in")
            return process

        yield OwnServer(url, start(), start)


def _prepared(binaries: Path, folder: Path, *, durable: bool) -> tuple[list[str], str | None]:
    """Return the command of a server in ``folder``, whose cluster this makes, and its user."""
    user = other_user()
    if user is not None:
        shutil.chown(folder, user)
    port = free_port()
    try:
        data = cluster(binaries, folder, user)
    except Lacking as error:
        lacking(str(error))
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    options["max_connections"] = "200"
    if not durable:
        # Nothing here must survive a crash, so nothing waits for the disk.
        options |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *flags], user


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def create_database(server_url: str, name: str, *, template: str = "template1") -> str:
    """Return the URL of a new database, a copy of ``template``."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(server_url: str, name: str) -> None:
    """Drop a database whoever is still connected."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
