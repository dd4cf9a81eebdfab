"""Start, watch and stop the processes of one machine; or become one of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from engine.settings import Settings
from engine_app import build
from engine_app.supervisor import programs
from engine_app.supervisor.checks import faults

__all__ = ["faults", "run_scheduler", "run_up", "run_web", "run_worker"]


def run_up(settings: Settings, *, reload: bool) -> NoReturn:
    """Become the supervisor of all processes of one machine.

    A fresh one: its children are copies of it, and it has no use for the command line's modules.
    """
    command = [sys.executable, "-m", "engine_app.supervisor", *(["--reload"] if reload else [])]
    # The variables that a process was started with are how the next supervisor knows it as its own
    environment = {**os.environ, "ENGINE_HOME": str(settings.home.absolute())}
    os.execve(command[0], command, {**environment, "PYTHONUNBUFFERED": "1"})  # noqa: S606  # our own command line


def run_web(settings: Settings) -> NoReturn:
    """Become the web server; builds the front end first if its sources have changed.

    Raises:
        EngineError: the front end cannot be built.
    """
    build.build(print)
    os.chdir(build.ROOT)
    _become(settings, programs.web(settings))


def run_worker(
    settings: Settings, *, queues: Sequence[str] = (), threads: int | None = None
) -> NoReturn:
    """Become a worker process.

    Args:
        settings: of this process.
        queues: what to serve; empty: all.
        threads: how many steps at once; by default as the settings say.

    Raises:
        SettingsError: there is no Redis.
    """
    _become(settings, programs.worker(settings, queues, threads or settings.worker_threads))


def run_scheduler(settings: Settings) -> NoReturn:
    """Become the process that ticks once a minute.

    Raises:
        SettingsError: there is no Redis.
    """
    _become(settings, programs.scheduler())


def _become(settings: Settings, command: Sequence[str]) -> NoReturn:
    environment = {**programs.environment(settings), "REDIS_URL": settings.redis}
    os.execve(command[0], list(command), environment)  # noqa: S606  # our own command line
