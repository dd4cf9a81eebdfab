"""The whole engine as a person starts it: ``engine up`` with a home and a port of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from tests.support.processes import eventually, free_port

ROOT = Path(__file__).parents[2]
_BUILD_SECONDS = 180  # the first start on a machine builds the front end
_FOREIGN = ("ENGINE_", "DATABASE_URL", "REDIS_URL", "REFLEX_", "GRANIAN_")


class System:
    """A running engine.

    Attributes:
        url: where pages and API are.
        home: its folder.
        said: what it has printed so far, line by line.
    """

    def __init__(
        self, home: Path, python: str | Path = sys.executable, folder: Path = ROOT, **variables: str
    ) -> None:
        self.home = home
        self._python = str(python)
        self._folder = folder
        self.port = int(variables.pop("ENGINE_PORT", "0")) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        own = {"ENGINE_HOME": str(home), "ENGINE_PORT": str(self.port), **variables}
        self.environment = {**inherited, "ENGINE_DRAIN_SECONDS": "3", "COLUMNS": "200", **own}
        self.said: list[str] = []
        self.process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [self._python, "-m", "engine_app.cli", "up"],
            cwd=self._folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

        def read() -> None:
            assert process.stdout
            for line in process.stdout:
                self.said.append(line.rstrip())

        threading.Thread(target=read, daemon=True).start()
        return process

    def hears(self, pattern: str, *, seconds: float = 30) -> re.Match[str]:
        """Return the first match in what it says; waits for it."""

        def hit() -> re.Match[str] | None:
            return next((m for line in list(self.said) if (m := re.search(pattern, line))), None)

        try:
            eventually(
                lambda: hit() or self.process.poll() is not None, seconds=seconds, what=pattern
            )
            eventually(hit, seconds=2, what=pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.said[-60:])) from None
        found = hit()
        assert found
        return found

    def await_ready(self) -> System:
        """Return when it says that it is ready."""
        self.hears(r"ready after", seconds=_BUILD_SECONDS)
        return self

    @property
    def link(self) -> str:
        """The link it printed: signs in once."""
        return self.hears(rf"({re.escape(self.url)}/\S+)")[1]

    def pid(self, name: str) -> int:
        """Return the process id of a child by its name: ``web``, ``worker 1``, ``valkey`` …"""

        def found() -> list[int]:
            rows = json.loads((self.home / "processes.json").read_text())
            return [int(row["pid"]) for row in rows if row["name"] == name]

        eventually(found, seconds=15, what=f"{name} runs")
        return found()[0]

    def worker_pid(self, name: str = "worker 1") -> int:
        """Return the process id under which a worker runs steps."""
        master = psutil.Process(self.pid(name))
        eventually(master.children, seconds=10, what=f"{name} has its process")
        return int(master.children()[0].pid)

    def family(self) -> list[psutil.Process]:
        """Return every process it runs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def cli(self, *arguments: str, check: bool = True) -> str:
        """Run ``engine …`` beside it and return what it prints."""
        done = subprocess.run(
            [self._python, "-m", "engine_app.cli", *arguments],
            cwd=self._folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"engine {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def api(self) -> httpx.Client:
        """Return a client that is signed in by a token of the first user."""
        token = self.cli("token", "create", f"test-{free_port()}").strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def stop(self) -> int:
        """Ask it to stop, as Ctrl-C does, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def start_again(self) -> System:
        """Start it with the same home and port; call ``await_ready`` next."""
        self.said.clear()
        self.process = self._start()
        return self


@contextlib.contextmanager
def running(
    python: str | Path = sys.executable, folder: Path = ROOT, /, **variables: str
) -> Iterator[System]:
    """Yield an engine that is starting; ends it and all it runs with the block.

    Args:
        python: of the environment in which the engine is installed.
        folder: in which it is started.
        variables: of its environment.
    """
    # Not pytest's folder: the path of a socket may have 107 bytes, and its names are long.
    with tempfile.TemporaryDirectory(prefix="engine-test-", ignore_cleanup_errors=True) as home:
        system = System(Path(home), python, folder, **variables)
        try:
            yield system
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                system.stop()
            _end(system)


def _end(system: System) -> None:
    if system.process.poll() is None:
        family = system.family()
        system.process.kill()
        system.process.wait()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
