"""The front end: built from the Python pages by Reflex, once for each change of its sources."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import EngineError

ROOT = Path(__file__).parent.parent
_STAMP = ROOT / ".web" / "engine-build"
# What the bundle is made from; the rest of the server may change without a new build.
_SOURCES = (
    "rxconfig.py",
    "bunfig.toml",
    ".npmrc",
    "constraints.txt",
    "assets",
    "reflex.lock",
    "engine_app/engine_app.py",
    "engine_app/components",
    "engine_app/forms",
    "engine_app/pages",
    "engine_app/states",
)
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


def is_current() -> bool:
    """Return whether the built front end is that of the sources as they are now."""
    built = (ROOT / ".web" / "build" / "client").is_dir()
    return built and _STAMP.is_file() and _STAMP.read_text() == _hash()


def build(say: Callable[[str], None]) -> None:
    """Build the front end unless it is current; another process that builds is waited for.

    Raises:
        EngineError: there is nothing to build from, or the build failed (with its last lines).
    """
    config = ROOT / "rxconfig.py"
    if not config.is_file():
        raise EngineError(
            f"there is no front end to build: {config} is missing", hint="run from a checkout"
        )
    with config.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_current():
            return
        say("building the front end (the first time takes about a minute)")
        # Taken before: a source that changes meanwhile must count as not yet built
        version = _hash()
        _export()
        _STAMP.write_text(version)


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


def _hash() -> str:
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for name in _SOURCES:
        path = ROOT / name
        yield from sorted(_files(path)) if path.is_dir() else [path]


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        # Reflex links assets of its own into `external` while it builds
        if path.is_file() and not {"__pycache__", "external"} & set(path.parts):
            yield path
