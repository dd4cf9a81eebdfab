"""Servers that the tests start: never left behind, not even when pytest itself is killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks import servers


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(
    holds: Callable[[], object], *, seconds: float, what: str, every: float = 0.05
) -> None:
    """Return as soon as ``holds()`` is true; raises AssertionError naming ``what`` when late."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


def answers(port: int) -> bool:
    """Return whether something on this machine accepts connections at ``port``."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def lives(pid: int) -> bool:
    """Return whether a process still runs; one that has ended and was not reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def server(
    command: Sequence[str | Path],
    *,
    port: int,
    log: Path,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
    seconds: float = 20,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; enter the block once it answers at ``port``.

    ``stop`` ends it, also when this process dies first (a killed test run must leave nothing).
    """

    with servers.process(command, log=log, env=env, user=user, stop=stop) as process:
        eventually(
            lambda: answers(port) or process.poll() is not None,
            seconds=seconds,
            what=f"{command[0]} answers at port {port}",
        )
        if process.poll() is not None:
            raise AssertionError(f"{command[0]} ended at start:\n{log.read_text()[-2000:]}")
        yield process
