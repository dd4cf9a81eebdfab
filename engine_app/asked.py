"""How many approvals wait for a person: the number that every page shows."""

from __future__ import annotations

import time

from engine.store import reads
from engine_app.auth.viewer import Viewer
from engine_app.db_access import database
from engine_app.pubsub import hub

ASKED_CAP = 100
_SECONDS = 2.0  # between two counts for a person: each change of anything may be an approval
_KEPT = 1000  # people


class Asked:
    """Counts anew only when some execution has changed since, whoever's it is."""

    def __init__(self) -> None:
        # By person: the number, how many words had been heard by then, and when that was.
        self._told: dict[str, tuple[int, int, float]] = {}

    def known(self, viewer: Viewer) -> int | None:
        """Return the number if it cannot be another by now, or was counted a moment ago."""
        told = self._told.get(viewer.id)
        if told is None:
            return None
        count, words, at = told
        same = hub.connected and words == hub.words
        return count if same or time.monotonic() - at < _SECONDS else None

    def count(self, viewer: Viewer) -> int:
        """Return the number as the database has it now, counted to ``ASKED_CAP``."""
        words = hub.words
        page = database().read(
            lambda connection: reads.approvals(connection, viewer.id, viewer.name, limit=ASKED_CAP)
        )
        if len(self._told) >= _KEPT:
            self._told.clear()
        self._told[viewer.id] = (len(page.rows), words, time.monotonic())
        return len(page.rows)


asked = Asked()
