"""Fill a database with a history: executions of ten steps over ninety days, of several owners.

Each is a copy of one that the engine itself ran (``benchmarks.samples``), under an id, a time, an
owner and a trigger of its own. The database makes the copies, table by table. Indexes are kept
while rows come; PostgreSQL checks foreign keys once, at the end. For databases to throw away: one
that is interrupted has no foreign keys.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, create_engine, pool, text

import benchmarks.workflows
from benchmarks import sizes
from benchmarks.samples import KEYS, Sample, publish_all, samples
from engine.ids import ALPHABET, first_id, new_id
from engine.store.db import migrate, schema_version
from engine.store.db.database import Database
from engine.store.tables import Base
from engine.store.writes import users

DAYS = 90
PORTION = 10_000  # executions copied in one transaction
DAY_US = 86_400_000_000
# How many of a hundred thousand are of which kind; the rest completed at the first try.
MIX = {
    "flaky": 5_000,
    "failed": 4_000,
    "retried": 1_000,
    "talk": 10_000,
    "cancelled": 1_500,
    "waiting": 20,
    "sleeping": 20,
    "paused": 10,
}
OWNERS = {"": 70, "history-b": 20, "history-c": 10}  # in a hundred; "" is the first user
TRIGGERS: dict[tuple[str, str | None], int] = {
    ("api", "token deploy"): 50,
    ("api", "token shop"): 20,
    ("schedule", "nightly"): 15,
    ("manual", None): 10,
    ("cli", None): 5,
}
# What differs between a sample and its copy: the columns of the table "copies".
_OWN = (
    *("owner_id", "workflow_id", "origin_id", "trigger", "trigger_detail"),
    *("schedule_id", "slot", "message_id"),
)
_COPY = ("sample", "new_id", "shift", "worker_id", *_OWN)
_NUMBERS = ("shift", "slot")
_TIME = re.compile(r"\b1[6-9]\d{14}\b")  # µs since 1970, in the data of an event


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose executions they are; ``workflows`` are ids by name."""

    id: str
    workflows: dict[str, str]
    schedules: list[str]


def fill(
    url: str, executions: int, *, seed: int = 1, say: Callable[[str], None] = lambda _line: None
) -> None:
    """Add that many executions to the database at ``url``; its tables are made if need be.

    Args:
        url: as ``DATABASE_URL``.
        executions: how many; a retry is one of its own.
        seed: of the mix, the times and the ids.
        say: told of progress.
    """
    assert benchmarks.workflows  # what the samples call is registered
    migrate.upgrade(url)
    database = Database.open(url)
    made = samples()
    owners, now = _owners(database), database.now()
    database.close()
    copies = islice(_copies(random.Random(seed), made, owners, executions, now), executions)
    begin = time.perf_counter()
    with _bulk(url) as connection:
        _stage(connection, {sample.id: sample for group in made.values() for sample in group})
        done = 0
        while portion := list(islice(copies, PORTION)):
            _copy(connection, portion)
            done += len(portion)
            say(f"{done:,} of {executions:,} after {time.perf_counter() - begin:.0f} s")


def _owners(database: Database) -> list[Owner]:
    known = {user.name: user.id for user in database.read(users.listed)}
    first = database.read(users.first)
    if first is not None:
        known[""] = first.id
    found = []
    for name in OWNERS:
        owner_id = known.get(name) or _add_user(database, name or "owner")
        schedules = [new_id() for _ in range(5)]
        found.append(Owner(owner_id, publish_all(database, owner_id), schedules))
    return found


def _add_user(database: Database, name: str) -> str:
    now = database.now()
    return database.write(lambda connection: users.add(connection, name, now))


def _copies(
    draw: random.Random,
    made: dict[str, list[Sample]],
    owners: Sequence[Owner],
    executions: int,
    now: int,
) -> Iterator[dict[str, Any]]:
    """Yield rows of "copies" in the order of their times; at least ``executions`` of them."""
    kinds = {**MIX, "completed": 100_000 - sum(MIX.values())}
    workers = ["".join(draw.choices(ALPHABET, k=13)) for _ in range(8)]
    step = DAYS * DAY_US // executions
    for number in range(executions):
        at = now - DAYS * DAY_US + number * step + draw.randrange(step)
        [owner] = draw.choices(owners, list(OWNERS.values()))
        [(trigger, detail)] = draw.choices(list(TRIGGERS), list(TRIGGERS.values()))
        [kind] = draw.choices(list(kinds), list(kinds.values()))
        row: dict[str, Any] = {
            "owner_id": owner.id,
            "workflow_id": owner.workflows[draw.choice(made[kind][0].workflows)],
            "worker_id": draw.choice(workers),
            "trigger": trigger,
            "trigger_detail": detail,
            "schedule_id": draw.choice(owner.schedules) if trigger == "schedule" else None,
            "slot": at if trigger == "schedule" else None,
            "origin_id": None,
        }
        for sample in made[kind]:
            if sample.origin:
                again = {"trigger": "retry", "origin_id": row["new_id"]}
                row |= dict.fromkeys(("trigger_detail", "schedule_id", "slot")) | again
            row["new_id"] = first_id(at)[:-4] + "".join(draw.choices(ALPHABET, k=4))
            row["message_id"] = str(uuid.UUID(int=draw.getrandbits(128)))
            yield row | {"sample": sample.id, "shift": at - sample.created_at}
            at = min(at + 60_000_000, now)


# --- in the database ------------------------------------------------------------------------------


@contextmanager
def _bulk(url: str) -> Iterator[Connection]:
    """Yield a connection that waits for no disk and checks no foreign key until it is done."""
    engine = create_engine(schema_version.parsed(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            for pragma in ("journal_mode = WAL", "synchronous = OFF", "cache_size = -1000000"):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
            yield connection
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        connection.exec_driver_sql("SET synchronous_commit = off")
        connection.exec_driver_sql("SET maintenance_work_mem = '256MB'")
        keys = _drop_foreign_keys(connection)
        connection.commit()
        yield connection
        for table, name, definition in keys:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        connection.commit()
        connection.execution_options(isolation_level="AUTOCOMMIT")
        # As autovacuum does when rows have come; SQLite has no such thing, and no statistics.
        connection.exec_driver_sql("VACUUM (ANALYZE)")


def _drop_foreign_keys(connection: Connection) -> list[tuple[str, str, str]]:
    rows = connection.exec_driver_sql(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE contype = 'f'"
    )
    found = [(row[0], row[1], row[2]) for row in rows if row[0] in KEYS]
    for table, name, _definition in found:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    return found


def _stage(connection: Connection, made: dict[str, Sample]) -> None:
    """Make the tables that copies are made from: the samples' rows, and the list of copies."""
    kinds = {name: "BIGINT" if name in _NUMBERS else "VARCHAR(128)" for name in _COPY}
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE copies ({columns})")
    for table in KEYS:
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE sample_{table} AS"
            f" SELECT *, CAST(NULL AS BIGINT) AS moved FROM {table} WHERE 1 = 0"
        )
        rows = [
            _typed(table, row) | {"moved": _moved(row)}
            for sample in made.values()
            for row in sample.rows[table]
        ]
        names = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute(text(f"INSERT INTO sample_{table} ({names}) VALUES ({values})"), rows)
    connection.commit()


def _typed(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a SQLite database with values as its columns have them anywhere."""
    columns = Base.metadata.tables[table].c
    return {
        name: bool(value) if isinstance(columns[name].type, Boolean) else value
        for name, value in row.items()
    }


def _moved(row: dict[str, Any]) -> int | None:
    found = _TIME.search(row.get("data") or "")
    return int(found[0]) if found else None


def _copy(connection: Connection, portion: list[dict[str, Any]]) -> None:
    """Make these copies in one transaction."""
    connection.exec_driver_sql("DELETE FROM copies")
    rows = [tuple(row[name] for name in _COPY) for row in portion]
    names = ", ".join(_COPY)
    cursor = connection.connection.cursor()
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(_COPY))
        cursor.executemany(f"INSERT INTO copies ({names}) VALUES ({marks})", rows)
    else:
        with cursor.copy(f"COPY copies ({names}) FROM STDIN") as copying:
            for row in rows:
                copying.write_row(row)
    for table in KEYS:
        connection.exec_driver_sql(_copying(table))
    connection.commit()


def _copying(table: str) -> str:
    columns = Base.metadata.tables[table].c
    values = ", ".join(_value(table, column) for column in columns)
    key = ", ".join(f"t.{column.name}" for column in list(columns)[1:3])
    return (
        f"INSERT INTO {table} ({', '.join(column.name for column in columns)})"
        f" SELECT {values} FROM copies c JOIN sample_{table} t ON t.{KEYS[table]} = c.sample"
        f" ORDER BY c.new_id, {key}"
    )


def _value(table: str, column: Any) -> str:
    """Return what a copy has in the column, in SQL: the sample's, but for what is its own."""
    name = column.name
    own = f"t.{name}"
    if name == KEYS[table]:
        return "c.new_id"
    if table == "executions" and name in _OWN:
        return f"c.{name}"
    if name == "worker_id":
        return f"CASE WHEN {own} IS NOT NULL THEN c.worker_id END"
    if name == "reused_from":
        return f"CASE WHEN {own} IS NOT NULL THEN c.origin_id END"
    if name == "data":
        moved = f"replace({own}, CAST(t.moved AS TEXT), CAST(t.moved + c.shift AS TEXT))"
        worker = f"replace({own}, '\"w1\"', '\"' || c.worker_id || '\"')"
        return f"CASE WHEN t.moved IS NULL THEN {worker} ELSE {moved} END"
    if isinstance(column.type, BigInteger) and name != "expires_in":
        return f"{own} + c.shift"
    return own


def main() -> None:
    """Fill the database that the command line names, and say what it took."""
    parser = argparse.ArgumentParser(prog="benchmarks.history", description=__doc__)
    parser.add_argument("database", help="sqlite:///PATH or a PostgreSQL URL")
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begin = time.perf_counter()
    fill(options.database, options.executions, seed=options.seed, say=print)
    seconds = time.perf_counter() - begin
    found = {"executions": options.executions, "seconds": round(seconds, 1)}
    print(json.dumps(found | {"bytes": sizes.of(options.database)}))


if __name__ == "__main__":
    main()
