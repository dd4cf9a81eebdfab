"""Transactions. The one place that knows how SQLite and PostgreSQL differ in taking them."""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from engine.errors import SettingsError, Unavailable
from engine.payloads import Payloads

# Connection too: verbs pass it on and know no other name of SQL.
__all__ = ["Connection", "Database", "PostgresDatabase", "SqliteDatabase"]

T = TypeVar("T")
Work = Callable[[Connection], T]

BUSY_MS = 10_000
_BATCH = 64  # units in one commit: keeps the write lock under some 20 ms
_TRIES = 6  # of a transaction that PostgreSQL asked to run again
_RUN_AGAIN = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}


class Database(ABC):
    """A database that is read from any thread and written in whole transactions."""

    dialect: str
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
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        opened: Database
        if url.startswith("sqlite"):
            opened = SqliteDatabase(url, synchronous=synchronous, threads=threads)
        else:
            opened = PostgresDatabase(url, threads=threads)
        opened.payloads = payloads or Payloads(None)
        return opened

    @abstractmethod
    def write(self, work: Work[T]) -> T:
        """Run ``work`` in one transaction and return what it returns.

        ``work`` may run more than once, so it must do nothing but SQL: no I/O, no expression,
        no JSON, or every other writer waits for it. Must not be called from inside ``work``.

        Raises:
            Unavailable: the database did not answer; whether it committed is then unknown.
        """

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

    @abstractmethod
    def close(self) -> None:
        """Give back every connection."""


class _Unit(Generic[T]):
    """One caller's work on its way through a shared commit."""

    __slots__ = ("_woken", "done", "error", "value", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.done = False
        self.value: T | None = None
        self.error: BaseException | None = None
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self) -> None:
        """Sleep until ``wake``: the work is done, or it is this caller's turn to lead."""
        self._woken.acquire()

    def wake(self) -> None:
        """Wake the caller."""
        self._woken.release()

    def result(self) -> T:
        """Return what the work returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return cast(T, self.value)


class SqliteDatabase(Database):
    """SQLite in WAL mode: many readers, one writer at a time among all processes.

    Writers of one process share commits: one of them leads, carries out all that has queued
    meanwhile in one transaction, each in a savepoint, and hands the lead to the next. So a
    refused one spoils no other and a lone one never waits for company. Between processes a lock
    on a file of its own hands the turn on: SQLite's own busy handler sleeps and starves (worst
    wait 3.2 s against 0.2 s). The lock is never taken on the database file: closing any
    descriptor of that one drops the locks SQLite itself holds on it.
    """

    dialect = "sqlite"

    def __init__(self, url: str, *, synchronous: str, threads: int) -> None:
        path = make_url(url).database
        if not path:
            raise SettingsError("an in-memory SQLite database cannot be shared by processes")
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_network_file_system(self.path.parent)
        self._writer = self._engine(url, synchronous, size=1)
        self._readers = self._engine(url, synchronous, size=threads)
        event.listen(self._writer, "begin", _begin_immediate)
        self._leading = threading.Lock()
        self._queue: deque[_Unit[Any]] = deque()
        self._lock_file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @staticmethod
    def _engine(url: str, synchronous: str, *, size: int) -> Engine:
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=30,
            pool_reset_on_return=None,
            connect_args={"isolation_level": None, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: object) -> None:
            for pragma in (
                f"busy_timeout = {BUSY_MS}",
                "journal_mode = WAL",
                f"synchronous = {synchronous}",
                "foreign_keys = ON",
                "temp_store = MEMORY",
                "cache_size = -16000",
            ):
                connection.execute(f"PRAGMA {pragma}")

        return engine

    def write(self, work: Work[T]) -> T:
        unit = _Unit(work)
        self._queue.append(unit)
        if not self._leading.acquire(blocking=False):
            unit.wait()
        if not unit.done:
            self._lead(unit)
        return unit.result()

    def _lead(self, own: _Unit[Any]) -> None:
        """Commit what has queued until ``own`` is done, then hand the lead on."""
        while not own.done:
            for unit in self._commit_queue():
                unit.done = True
                if unit is not own:
                    unit.wake()
        self._hand_on()

    def _hand_on(self) -> None:
        """Wake whoever waits longest to lead; when nobody does, leave the lead to whoever comes."""
        while True:
            if self._queue:
                self._queue[0].wake()
                return
            self._leading.release()
            # One that queued before the release found the lead taken, and sleeps.
            if not self._queue or not self._leading.acquire(blocking=False):
                return

    def _commit_queue(self) -> list[_Unit[Any]]:
        batch: list[_Unit[Any]] = []
        try:
            with self._file_lock():
                # Only now: those that came while another process had its turn ride along.
                batch = self._take()
                with self._writer.begin() as connection:
                    for unit in batch:
                        self._run_unit(connection, unit, alone=len(batch) == 1)
        except BaseException as error:
            batch = batch or self._take()
            for unit in batch:
                unit.error = unit.error or _as_unavailable(error)
                unit.value = None
        return batch

    def _take(self) -> list[_Unit[Any]]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]

    @staticmethod
    def _run_unit(connection: Connection, unit: _Unit[Any], *, alone: bool) -> None:
        if alone:
            unit.value = unit.work(connection)
            return
        connection.exec_driver_sql("SAVEPOINT unit")
        try:
            unit.value = unit.work(connection)
        except Exception as error:
            connection.exec_driver_sql("ROLLBACK TO unit")
            unit.error = _as_unavailable(error)
        connection.exec_driver_sql("RELEASE unit")

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def read(self, work: Work[T]) -> T:
        try:
            with self._readers.connect() as connection:
                return work(connection)
        except OperationalError as error:
            raise _as_unavailable(error) from error

    def snapshot(self, work: Work[T]) -> T:
        def together(connection: Connection) -> T:
            connection.exec_driver_sql("BEGIN")
            try:
                return work(connection)
            finally:
                connection.exec_driver_sql("ROLLBACK")

        return self.read(together)

    def now(self) -> int:
        # SQLite has no server: its clock is this machine's clock, the same for every process.
        return time.time_ns() // 1000

    def close(self) -> None:
        self._writer.dispose()
        self._readers.dispose()
        os.close(self._lock_file)


class PostgresDatabase(Database):
    """PostgreSQL through psycopg: each writer has its own connection and row locks order them."""

    dialect = "postgresql"

    def __init__(self, url: str, *, threads: int) -> None:
        self._engine = create_engine(
            url,
            pool_size=threads + 4,  # the worker's own threads: heartbeat, rescue, logs
            max_overflow=0,
            pool_timeout=30,
            pool_pre_ping=False,
            connect_args={
                "connect_timeout": 10,
                "options": "-c lock_timeout=10s -c statement_timeout=60s"
                " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
            },
        )
        self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._still = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._offset = 0
        self._synced = float("-inf")

    def write(self, work: Work[T]) -> T:
        for attempt in range(1, _TRIES + 1):
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                if _sqlstate(error) not in _RUN_AGAIN or attempt == _TRIES:
                    raise _as_unavailable(error) from error
                # Two that met must not meet again at once.
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  # not a secret
        raise AssertionError("unreachable: the last try returns or raises")

    def read(self, work: Work[T]) -> T:
        try:
            with self._readers.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            raise _as_unavailable(error) from error

    def snapshot(self, work: Work[T]) -> T:
        try:
            with self._still.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            raise _as_unavailable(error) from error

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


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails with "locked" when another wrote
    # in between (4871 times in 4 s, measured); taking the write lock first cannot.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _as_unavailable(error: BaseException) -> BaseException:
    """Return ``error`` as what callers may wait out, when it is the database that failed."""
    if isinstance(error, OperationalError) or (
        isinstance(error, DBAPIError)
        and (error.connection_invalidated or _sqlstate(error) in _RUN_AGAIN)
    ):
        failure = Unavailable(f"the database did not answer: {str(error.orig).strip()}")
        failure.__cause__ = error
        return failure
    return error


def _refuse_network_file_system(folder: Path) -> None:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _device, mount, file_system = line.split()[:3]
        if folder.resolve().is_relative_to(mount) and len(mount) > len(best):
            best, kind = mount, file_system
    if kind in _NETWORK_FILE_SYSTEMS:
        raise SettingsError(
            f"{folder} is on a network file system ({kind}), where SQLite's locks do not hold",
            hint="put ENGINE_HOME on a local disk, or use PostgreSQL through DATABASE_URL",
        )
