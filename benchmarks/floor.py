"""The floor: what the database alone does, one INSERT and one COMMIT per step, without an engine.

Machines differ, and a ratio to the floor travels where a number does not. SQLite gets the one
writer that it can have; PostgreSQL as many as the product's workers have threads.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import psycopg

PROCESSES, THREADS = 2, 8  # as `engine up` has by default
_INSERT = "INSERT INTO floor (execution_id, step, output) VALUES ('0123456789abc', {}, '10')"
_TABLE = "CREATE TABLE floor (execution_id VARCHAR(13), step INTEGER, output TEXT)"


def sqlite_floor(seconds: float, synchronous: str) -> int:
    """Return how many rows a second one thread inserts, each in a transaction of its own."""
    with tempfile.TemporaryDirectory(prefix="engine-floor-") as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(_TABLE)
        count, begin = 0, time.perf_counter()
        while time.perf_counter() < begin + seconds:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_INSERT.format("?"), (count,))
            connection.execute("COMMIT")
            count += 1
        took = time.perf_counter() - begin
        connection.close()
    return round(count / took)


def postgres_floor(url: str, seconds: float) -> int:
    """Return how many rows a second two processes of eight threads insert, each committed."""
    url = url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS floor")
        connection.execute(_TABLE)
        try:
            # Spawned: a fork would inherit the connections of this process
            with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
                counts = pool.starmap(_insert, [(url, seconds)] * PROCESSES, chunksize=1)
        finally:
            connection.execute("DROP TABLE floor")
    return round(sum(counts))


def _insert(url: str, seconds: float) -> float:
    """Return how many rows a second the threads of one process insert."""
    ready = threading.Barrier(THREADS)
    rates: list[float] = []

    def loop() -> None:
        with psycopg.connect(url) as connection:
            ready.wait()
            count, begin = 0, time.perf_counter()
            while time.perf_counter() < begin + seconds:
                connection.execute(_INSERT.format("%s"), (count,))
                connection.commit()
                count += 1
            rates.append(count / (time.perf_counter() - begin))

    threads = [threading.Thread(target=loop) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)
