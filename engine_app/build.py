"""The front end: built from the Python pages by Reflex, once for each change of its sources."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine.errors import EngineError
from engine_app import front_end

# Where Reflex is run: it finds its configuration and the built pages in the folder it stands in.
ROOT = front_end.project()
_LINES_SHOWN = 25


def environment() -> dict[str, str]:
    """Return the variables under which Reflex builds and serves without asking anybody."""
    # bun comes as a wheel: its folder first, or an old system-wide one would be taken
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    return {
        "PATH": path,
        "REFLEX_ENV_MODE": "prod",
        "REFLEX_USE_SYSTEM_BUN": "true",
        "REFLEX_TELEMETRY_ENABLED": "false",
        "REFLEX_CHECK_LATEST_VERSION": "false",
        "NO_UPDATE_NOTIFIER": "1",
    }


def build(say: Callable[[str], None]) -> None:
    """Build the front end unless it is current; another process that builds is waited for.

    Pages that came with the wheel are, always.

    Raises:
        EngineError: there is nothing to build from, or the build failed (with its last lines).
    """
    if front_end.is_shipped():
        return
    config = ROOT / "rxconfig.py"
    if not config.is_file():
        raise EngineError(
            f"there is no front end to build: {config} is missing", hint="run from a checkout"
        )
    with config.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if front_end.is_current(ROOT):
            return
        say("building the front end (the first time takes about a minute)")
        # Taken before: a source that changes meanwhile must count as not yet built
        version = front_end.version(ROOT)
        _export()
        (ROOT / front_end.STAMP).write_text(version)


def _export() -> None:
    command = [sys.executable, "-m", "reflex", "export", "--frontend-only", "--no-zip"]
    done = subprocess.run(  # noqa: S603  # our own command line
        command,
        cwd=ROOT,
        env={**os.environ, **environment()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-_LINES_SHOWN:])
        raise EngineError(f"the front end could not be built:\n{last}")
