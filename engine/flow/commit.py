"""Commit one turn of an execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from engine.store.database import Connection, Database
from engine.store.turn import Turn, turn

T = TypeVar("T")


def commit(database: Database, execution_id: str, work: Callable[[Turn], T]) -> T:
    """Run ``work`` in one turn of the execution and return what it returns.

    Raises:
        StaleClaim, NotFound: from the guards; nothing was changed.
        Unavailable: the database did not answer; whether it committed is unknown.
    """
    now = database.now()

    def transaction(connection: Connection) -> T:
        with turn(connection, execution_id, now) as taken:
            return work(taken)

    return database.write(transaction)
