"""For ``make dev``: notice that sources have changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from watchfiles import PythonFilter, watch

_ROOT = Path(__file__).parents[2]  # of the packages, wherever they are installed
_FOLDERS = ("engine", "actors", "engine_app", "examples")


class Watcher:
    """Sets ``changed`` and calls ``wake`` when a Python file changes."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._changed = threading.Event()
        self._wake = wake
        self._folders = [_ROOT / name for name in _FOLDERS if (_ROOT / name).is_dir()]
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def take(self) -> bool:
        """Return whether something has changed since the last call."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    def _watch(self) -> None:
        for _changes in watch(*self._folders, watch_filter=PythonFilter()):
            self._changed.set()
            self._wake()
