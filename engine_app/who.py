"""Whose sessions are valid, asked of the database once for all tabs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from engine.errors import EngineError
from engine_app.auth.viewer import Viewer, of_sessions
from engine_app.db_access import database, in_thread
from engine_app.tabs import tabs

_FRESH_SECONDS = 1.0


class Who:
    """The answer of a moment ago. Of the event loop's thread only."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asked: frozenset[str] = frozenset()
        self._known: Mapping[str, Viewer] = {}
        self._at = 0.0
        self._now = 0
        self._error: EngineError | None = None

    async def known(self, sessions: frozenset[str]) -> Mapping[str, Viewer]:
        """Return who the valid ones of these sessions, and of others, belong to.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._lock:
            old = time.monotonic() - self._at
            if old > _FRESH_SECONDS or not sessions <= self._asked:
                await self._ask(sessions | tabs.sessions())
            if self._error is not None:
                raise self._error
            return self._known

    async def _ask(self, sessions: frozenset[str]) -> None:
        self._error = None
        try:
            self._now, self._known = await in_thread(
                lambda: (database().now(), of_sessions(database(), sessions))
            )
        except EngineError as error:
            self._error = error  # for all who ask in this moment: each would wait as long
        self._asked, self._at = sessions, time.monotonic()

    def now(self) -> int:
        """Return the time by the database's clock in µs, without asking it."""
        if not self._now:
            return time.time_ns() // 1000
        return self._now + round((time.monotonic() - self._at) * 1e6)


who = Who()
