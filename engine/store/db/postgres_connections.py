"""Connections to PostgreSQL, or to a pooler (PgBouncer and the like) that stands before it.

A pooler in transaction mode gives each transaction another session of the server. A statement
that one session has prepared is then missing in the next, or, worse, another one by that name is
there; and what a session is told at its start, a pooler refuses or forgets.
"""

from __future__ import annotations

import logging
from threading import Lock
from typing import Any

import psycopg

_log = logging.getLogger(__name__)

_TIMEOUTS = {
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}
_SESSION = {
    # Rows of one owner or status lie apart: at the price of a turning disk PostgreSQL would rather
    # read everybody's.
    "random_page_cost": "1.1",
    "timezone": "UTC",
    **_TIMEOUTS,
}
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
_CONNECT_SECONDS = 10


class Connections:
    """Opens connections, and finds out at the first one what stands there."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pooled: bool | None = None

    @property
    def pooled(self) -> bool:
        """Whether a pooler stands before the server; False before the first connection."""
        return bool(self._pooled)

    def open(self, *args: Any, **params: Any) -> psycopg.Connection[Any]:
        """Return a new connection; the arguments are psycopg's."""
        with self._lock:
            if self._pooled is None:
                self._pooled = _meets_a_pooler(*args, **params)
                if self._pooled:
                    _log.info(
                        "a pooler stands before PostgreSQL: statements are not prepared, and"
                        " timeouts are those of the role"
                    )
        if self._pooled:
            return _connected(*args, **params)
        # The statements are few and the same for ever: each is worth preparing at once.
        return _connected(*args, **params, options=_OPTIONS, prepare_threshold=0)


def missing_timeouts(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the settings, each with the value it should have, that this session does not have."""
    return [
        f"{name} = '{value}'"
        for name, value in _TIMEOUTS.items()
        if _shown(connection, name) in ("0", None)
    ]


def _shown(connection: psycopg.Connection[Any], name: str) -> str | None:
    row = connection.execute(f"SHOW {name}").fetchone()
    return None if row is None else str(row[0])


def _meets_a_pooler(*args: Any, **params: Any) -> bool:
    try:
        with _connected(*args, **params, options=_OPTIONS) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            # A pooler tells its clients numbers of its own: they are for it to cancel by.
            return row is not None and row[0] != connection.info.backend_pid
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" not in str(error):
            raise
        return True


def _connected(*args: Any, **params: Any) -> psycopg.Connection[Any]:
    given = {"connect_timeout": _CONNECT_SECONDS, "prepare_threshold": None, **params}
    return psycopg.connect(*args, **given)
