"""How many bytes of database an execution of ten steps leaves behind."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import psycopg

from benchmarks.measure import TEN, Result, at_once
from benchmarks.product import Product


def stored(running: Product, database_url: str, executions: int) -> Result:
    """Return the bytes an execution of ten steps takes, tables and indexes together.

    ``bytes`` are as the writing left them, ``compact_bytes`` after a rewrite of the tables
    (VACUUM), which leaves no room for later changes. A journal (WAL) counts in neither.
    """
    size = _Sqlite(running) if not database_url else _Postgres(database_url)
    running.forget()
    compact_before = size.compact()
    before = size.used()
    at_once(running, executions)
    after = size.used()
    grown, compact = after - before, size.compact() - compact_before
    return {
        "executions": executions,
        "workflow": TEN,
        "bytes": round(grown / executions),
        "compact_bytes": round(compact / executions),
    }


class _Sqlite:
    """Sizes of a SQLite database in bytes."""

    def __init__(self, running: Product) -> None:
        self._running = running

    def used(self) -> int:
        """Return the size of the pages that hold something."""
        pages, free, size = (
            self._running.query(f"PRAGMA {name}")[0][0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def compact(self) -> int:
        """Return the size of a copy without gaps."""
        path = self._running.query("PRAGMA database_list")[0][2]
        with tempfile.TemporaryDirectory(prefix="engine-size-") as folder:
            copy = Path(folder, "copy.db")
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("VACUUM INTO ?", (str(copy),))
            connection.close()
            return copy.stat().st_size


class _Postgres:
    """Sizes of a PostgreSQL database in bytes."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")

    def used(self) -> int:
        """Return the size of its files."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert row is not None
            return int(row[0])

    def compact(self) -> int:
        """Rewrite every table without gaps; return the size of the files after it."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("VACUUM FULL")
        return self.used()
