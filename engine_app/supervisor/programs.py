"""What runs: one command line per process, the same that people may type themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.settings import Settings
from engine_app import build, embedded

SHORT_QUEUES = ("dispatch", "steps")
LONG_QUEUES = ("steps.long",)
ENOUGH = 2  # the pages and one worker
WEB_KILL_SECONDS = 3  # what open streams get to end when the web server stops


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep running. ``works``: it has a row among the workers."""

    name: str
    command: tuple[str, ...]
    folder: Path = field(default_factory=Path.cwd)
    works: bool = False


def environment(settings: Settings) -> dict[str, str]:
    """Return what every process of ours is started with.

    The rest of the environment is handed on whole, never looked into: settings are read in
    one place only. Paths are absolute, because processes differ in their folder.
    """
    inherited = dict(os.environ)
    # Reflex would keep its pages' memory in Redis then, and Redis may be emptied at any time.
    inherited.pop("REFLEX_REDIS_URL", None)
    return {
        **inherited,
        **build.environment(),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": settings.database,
        "REDIS_URL": embedded.url(settings),
        "ENGINE_HOME": str(settings.home.absolute()),
        "ENGINE_STORE_URL": settings.payload_store,
        "ENGINE_HOST": settings.host,
        "ENGINE_PORT": str(settings.port),
        "__REFLEX_SKIP_COMPILE": "true",
        "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "true",
    }


def programs(settings: Settings) -> list[Program]:
    """Return what one machine runs, but for the embedded server, which must be up before.

    In the order of need: with the first ``ENOUGH`` of them work can be done.
    """
    short = worker(settings, SHORT_QUEUES, settings.worker_threads)
    long = worker(settings, LONG_QUEUES, settings.long_threads)
    numbers = range(1, settings.worker_processes + 1)
    return [
        # The pages come first; whoever starts an engine waits for them.
        Program("web", web(settings), folder=build.ROOT),
        *(Program(f"worker {number}", short, works=True) for number in numbers),
        Program("long steps", long, works=True),
        Program("scheduler", scheduler()),
    ]


def valkey(settings: Settings) -> Program:
    """Return the embedded server."""
    return Program("valkey", tuple(embedded.command(settings)))


def worker(settings: Settings, queues: Sequence[str], threads: int) -> tuple[str, ...]:
    """Return a worker process for ``queues`` (empty: all of them).

    One process per dramatiq: its master stops all of its workers when one of them dies.
    """
    limit = ["--queues", *queues] if queues else []
    drain = str(round(settings.drain_seconds * 1000))
    counts = ["--processes", "1", "--threads", str(threads), "--worker-shutdown-timeout", drain]
    return _module("dramatiq", "actors", *counts, *limit)


def scheduler() -> tuple[str, ...]:
    """Return the process that ticks once a minute."""
    # Not `-m`: the package has no __main__
    return (sys.executable, str(Path(sys.executable).with_name("periodiq")), "actors")


def web(settings: Settings) -> tuple[str, ...]:
    """Return the web server: pages, API and live channel on one port.

    One worker: the pages' memory is in its process.
    """
    where = ["--host", settings.host, "--port", str(settings.port)]
    how = ["--interface", "asgi", "--factory", "--no-access-log", "--log-level", "warning"]
    patience = ["--workers-kill-timeout", str(WEB_KILL_SECONDS)]
    return _module("granian", *how, *where, *patience, "engine_app.engine_app:app")


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
