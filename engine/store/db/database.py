"""Transactions: what a database does for the engine, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.errors import Unavailable
from engine.io.payloads import Payloads

# Connection too: verbs pass it on and know no other name of SQL.
__all__ = ["Connection", "Database"]

T = TypeVar("T")
Work = Callable[[Connection], T]

# What a caller waits for a connection of the pool: then too many ask at once, and are told so,
# instead of holding up whatever shares their threads.
POOL_SECONDS = 5.0
RUN_AGAIN = {"40001", "40P01"}  # serialization_failure, deadlock_detected


class Database(ABC):
    """A database that is read from any thread and written in whole transactions."""

    dialect: str
    has_server = False  # whether each statement is a trip to one
    payloads: Payloads  # where the values lie that are too large for a row

    @staticmethod
    def open(
        url: str,
        *,
        synchronous: str = "NORMAL",
        threads: int = 16,
        payloads: Payloads | None = None,
    ) -> Database:
        """Return an open database.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql+psycopg://…``.
            synchronous: SQLite's durability: NORMAL may lose the last commits when the power
                goes (never when a process dies), FULL loses none.
            threads: how many threads will use it at once.
            payloads: where large values go; without one all stay in the database.

        Raises:
            SettingsError: the path is on a network file system, where SQLite's locks do not hold.
        """
        url = with_driver(url)
        opened: Database
        # Here and not above: a process imports the driver of its own database only.
        if url.startswith("sqlite"):
            from engine.store.db.sqlite import SqliteDatabase  # noqa: PLC0415

            opened = SqliteDatabase(url, synchronous=synchronous, threads=threads)
        else:
            from engine.store.db.postgres import PostgresDatabase  # noqa: PLC0415

            opened = PostgresDatabase(url, threads=threads)
        opened.payloads = payloads or Payloads(None)
        return opened

    @abstractmethod
    def write(self, work: Work[T]) -> T:
        """Run ``work`` in one transaction and return what it returns.

        ``work`` may run more than once, so it must do nothing but SQL: no I/O, no expression,
        no JSON but the few words of a fact, or every other writer waits for it. Must not be
        called from inside ``work``.

        Raises:
            Unavailable: the database did not answer; whether it committed is then unknown.
        """

    def write_at_once(self, work: Work[T]) -> T:
        """Run ``work``, a single statement, as a transaction; return what it returns.

        Where there is a server the statement commits itself, which saves two trips.

        Raises:
            Unavailable: the database did not answer; whether it committed is then unknown.
        """
        return self.write(work)

    @abstractmethod
    def read(self, work: Work[T]) -> T:
        """Run ``work`` on a connection that only reads, and return what it returns."""

    @abstractmethod
    def snapshot(self, work: Work[T]) -> T:
        """Run ``work``, which only reads, and return what it returns.

        All it reads is as of one instant, whatever is committed meanwhile.
        """

    @abstractmethod
    def now(self) -> int:
        """Return microseconds since 1970 by the database's clock."""

    def shortcomings(self) -> list[str]:
        """Return, in words, what this database works without although it should not.

        Raises:
            Unavailable: the database does not answer.
        """
        return []

    @abstractmethod
    def close(self) -> None:
        """Give back every connection."""


def with_driver(url: str) -> str:
    """Return a PostgreSQL URL, also one that begins as libpq's may, with the driver it is for."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return url.replace(scheme, "postgresql+psycopg://", 1)
    return url


def connect(pool: Engine) -> Connection:
    """Return a connection of the pool.

    Raises:
        Unavailable: all of them were in use for ``POOL_SECONDS``.
    """
    try:
        return pool.connect()
    except PoolTimeout as error:
        raise Unavailable(
            "all connections to the database are in use", hint="try again in a moment"
        ) from error


def drivers_own(error: BaseException) -> BaseException:
    """Return what the driver raised, whether SQLAlchemy carried it here or a ``Prepared`` did."""
    carried = error.orig if isinstance(error, DBAPIError) else None
    return carried or error


def as_unavailable(error: BaseException, *kinds: type[BaseException]) -> BaseException:
    """Return ``error`` as what callers may wait out, when it is the database that failed.

    Args:
        error: from SQLAlchemy or from the driver.
        kinds: what the driver raises when its server or file does not answer.
    """
    own = drivers_own(error)
    broken = isinstance(error, DBAPIError) and error.connection_invalidated
    if broken or isinstance(own, kinds) or getattr(own, "sqlstate", None) in RUN_AGAIN:
        failure = Unavailable(f"the database did not answer: {str(own).strip()}")
        failure.__cause__ = error
        return failure
    return error
