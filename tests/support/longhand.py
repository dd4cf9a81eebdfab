"""A database that knows no fast path: each write is a whole transaction, as on SQLite."""

from __future__ import annotations

from typing import TypeVar

from engine.store.db.database import Database, Work

T = TypeVar("T")


class Longhand(Database):
    """Passes everything on, but the statements that commit themselves."""

    def __init__(self, database: Database) -> None:
        self.dialect = database.dialect
        self.payloads = database.payloads
        self._database = database

    def write(self, work: Work[T]) -> T:
        return self._database.write(work)

    def read(self, work: Work[T]) -> T:
        return self._database.read(work)

    def snapshot(self, work: Work[T]) -> T:
        return self._database.snapshot(work)

    def now(self) -> int:
        return self._database.now()

    def close(self) -> None:
        self._database.close()
