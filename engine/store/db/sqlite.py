"""SQLite: one writer at a time, whose commits the threads of a process share."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from engine.errors import SettingsError
from engine.store.db.compiled import driver
from engine.store.db.database import POOL_SECONDS, Database, Work, as_unavailable, connect

T = TypeVar("T")

BUSY_MS = 10_000
_BATCH = 64  # units in one commit: keeps the write lock under some 20 ms
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}


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
        self._writing: Connection | None = None  # opened by the first write, and kept
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
            pool_timeout=POOL_SECONDS,
            pool_reset_on_return=None,
            hide_parameters=True,  # what people sent is no part of a message that is logged
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
                self._commit(batch)
        except BaseException as error:
            batch = batch or self._take()
            for unit in batch:
                # Also of one that was refused: it may have met what a batch-mate wrote, and what
                # is gone now.
                unit.error = _as_unavailable(error)
                unit.value = None
        return batch

    def _take(self) -> list[_Unit[Any]]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]

    def _commit(self, batch: Sequence[_Unit[Any]]) -> None:
        """Carry out the units in one transaction, begun and ended by the driver itself."""
        if self._writing is None:
            self._writing = connect(self._writer)
        raw = driver(self._writing)
        # A deferred transaction that reads and then writes fails with "locked" when another wrote
        # in between (4871 times in 4 s, measured); taking the write lock first cannot.
        raw.execute("BEGIN IMMEDIATE")
        try:
            for unit in batch:
                self._run_unit(self._writing, raw, unit, alone=len(batch) == 1)
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:  # SQLite ends it by itself after some errors, e.g. a full disk
                raw.execute("ROLLBACK")
            raise

    @staticmethod
    def _run_unit(connection: Connection, raw: Any, unit: _Unit[Any], *, alone: bool) -> None:
        if alone:
            unit.value = unit.work(connection)
            return
        raw.execute("SAVEPOINT unit")
        try:
            unit.value = unit.work(connection)
        except Exception as error:
            raw.execute("ROLLBACK TO unit")
            unit.error = _as_unavailable(error)
        raw.execute("RELEASE unit")

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def read(self, work: Work[T]) -> T:
        try:
            with connect(self._readers) as connection:
                return work(connection)
        except (DBAPIError, sqlite3.Error) as error:
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
        if self._writing is not None:
            self._writing.close()
        self._writer.dispose()
        self._readers.dispose()
        os.close(self._lock_file)


def _as_unavailable(error: BaseException) -> BaseException:
    return as_unavailable(error, sqlite3.OperationalError)


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
