"""Definitions of pinned versions, for verbs: from memory, without a connection, once parsed."""

from __future__ import annotations

from engine.definition import Definition
from engine.store.db.database import Database
from engine.store.writes import workflows


class Versions:
    """The versions that a database holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, workflow_id: str, version: int) -> Definition:
        """Return the version's definition.

        Raises:
            NotFound: there is no such version.
            UnreadableVersion: it was stored by code that allowed more than this code does.
        """
        return workflows.parsed(workflow_id, version) or self._database.read(
            lambda connection: workflows.definition(connection, workflow_id, version)
        )
