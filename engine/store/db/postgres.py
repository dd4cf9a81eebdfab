"""PostgreSQL through psycopg: each writer has its own connection and row locks order them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from tenacity import stop_after_attempt

from engine.insist import insist
from engine.store.db.compiled import driver
from engine.store.db.database import (
    POOL_SECONDS,
    RUN_AGAIN,
    Database,
    Work,
    as_unavailable,
    connect,
    drivers_own,
)
from engine.store.db.postgres_connections import Connections, missing_timeouts

T = TypeVar("T")

_TRIES = 6  # of a transaction that the server asked to run again


class PostgresDatabase(Database):
    """PostgreSQL through psycopg: each writer has its own connection and row locks order them."""

    dialect = "postgresql"
    has_server = True

    def __init__(self, url: str, *, threads: int) -> None:
        self._engine = create_engine(
            url,
            pool_size=threads + 4,  # the worker's own threads: heartbeat, rescue, logs
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_pre_ping=False,
            pool_reset_on_return=None,  # nothing is left open: see ``_transaction``
            hide_parameters=True,  # what people sent is no part of a message that is logged
            isolation_level="AUTOCOMMIT",  # a statement alone takes one trip, not three
        )
        self._connections = Connections()
        event.listen(self._engine, "do_connect", self._connect)
        self._offset = 0
        self._synced = float("-inf")

    def _connect(self, _dialect: Any, _record: Any, args: Any, params: Any) -> Any:
        return self._connections.open(*args, **params)

    def shortcomings(self) -> list[str]:
        missing = self.read(lambda connection: missing_timeouts(driver(connection)))
        if not missing or not self._connections.pooled:
            return []
        told = "a pooler stands before PostgreSQL, and lets the engine set no timeouts for its"
        orders = "; ".join(f"ALTER ROLE {self._engine.url.username} SET {one}" for one in missing)
        return [f"{told} sessions: give its role some: {orders}"]

    def write(self, work: Work[T]) -> T:
        return self._insist(lambda: self._transaction(work))

    def write_at_once(self, work: Work[T]) -> T:
        return self._insist(lambda: self._run(work))

    def _insist(self, once: Callable[[], T]) -> T:
        try:
            # Two that met must not meet again at once.
            stop = stop_after_attempt(_TRIES)
            return insist(once, when=_is_to_be_run_again, stop=stop, first=0.02, most=0.64)
        except (DBAPIError, psycopg.Error) as error:
            raise _as_unavailable(error) from error

    def read(self, work: Work[T]) -> T:
        try:
            return self._run(work)
        except (DBAPIError, psycopg.Error) as error:
            raise _as_unavailable(error) from error

    def snapshot(self, work: Work[T]) -> T:
        try:
            return self._transaction(work, IsolationLevel.REPEATABLE_READ)
        except (DBAPIError, psycopg.Error) as error:
            raise _as_unavailable(error) from error

    def _transaction(self, work: Work[T], isolation: IsolationLevel | None = None) -> T:
        def whole(connection: Connection) -> T:
            raw = driver(connection)
            if raw.isolation_level is not isolation:
                raw.set_isolation_level(isolation)  # of the next BEGIN; the server hears it there
            with raw.transaction():
                return work(connection)

        return self._run(whole)

    def _run(self, work: Work[T]) -> T:
        with connect(self._engine) as connection:
            try:
                return work(connection)
            except psycopg.Error as error:
                # SQLAlchemy knows of a lost connection by what went through itself. What a
                # `Prepared` met it must be told: this one is lost, and the others are as old.
                if driver(connection).closed:
                    connection.invalidate(error)
                    self._engine.dispose()
                raise

    def now(self) -> int:
        # Asking the server at each step would cost a round trip; clocks drift apart far slower
        # than the seconds that leases are made of.
        if time.monotonic() - self._synced > 5:
            self._sync_clock()
        return time.monotonic_ns() // 1000 + self._offset

    def _sync_clock(self) -> None:
        before = time.monotonic_ns() // 1000
        server = self.read(
            lambda connection: connection.exec_driver_sql(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
            ).scalar_one()
        )
        after = time.monotonic_ns() // 1000
        self._offset = int(server) - (before + after) // 2
        self._synced = time.monotonic()

    def close(self) -> None:
        self._engine.dispose()


def _is_to_be_run_again(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError | psycopg.Error):
        return False
    return getattr(drivers_own(error), "sqlstate", None) in RUN_AGAIN


def _as_unavailable(error: BaseException) -> BaseException:
    return as_unavailable(error, psycopg.OperationalError)
