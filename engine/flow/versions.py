"""Definitions of pinned versions, parsed once a process: versions never change."""

from __future__ import annotations

import threading
from collections import OrderedDict

from engine.codec import decode
from engine.definition import Definition, parse
from engine.store import executions
from engine.store.database import Database

_KEPT = 256


class Versions:
    """A cache of parsed versions, shared by the threads of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._parsed: OrderedDict[tuple[str, int], Definition] = OrderedDict()

    def get(self, workflow_id: str, version: int) -> Definition:
        """Return the version's definition.

        Raises:
            NotFound: there is no such version.
            InvalidDocument: it was stored by code that allowed more than this code does.
        """
        key = (workflow_id, version)
        with self._lock:
            if key in self._parsed:
                self._parsed.move_to_end(key)
                return self._parsed[key]
        text = self._database.read(
            lambda connection: executions.document(connection, workflow_id, version)
        )
        definition = parse(decode(text))
        with self._lock:
            self._parsed[key] = definition
            while len(self._parsed) > _KEPT:
                self._parsed.popitem(last=False)
        return definition
