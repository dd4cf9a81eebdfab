"""How long a transaction waits for a row that another one holds."""

from __future__ import annotations

from sqlalchemy import Connection

from engine.errors import Unavailable
from engine.store.db.database import drivers_own

_NOT_FREE = "55P03"  # lock_not_available; SQLite has one lock, and no word for it


def short(connection: Connection) -> None:
    """Have this transaction wait a second at most for a row that another one holds."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")


def answers(connection: Connection) -> None:
    """Ask the database for nothing: what comes back is that it is there."""
    connection.exec_driver_sql("SELECT 1")


def is_held(error: Unavailable) -> bool:
    """Return whether it failed because a row was held for longer than it may wait."""
    cause = error.__cause__
    return cause is not None and getattr(drivers_own(cause), "sqlstate", None) == _NOT_FREE
