"""Start, watch and stop the processes of one machine; or become one of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from engine.settings import Settings
from engine_app import build
from engine_app.supervisor import programs
from engine_app.supervisor.checks import faults
from engine_app.supervisor.up import up

__all__ = ["faults", "run_scheduler", "run_web", "run_worker", "up"]


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
