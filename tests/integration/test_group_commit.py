"""Writers of one process share SQLite's commits: what one does harms no other, and none waits."""

from __future__ import annotations

import fcntl
import os
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from engine.errors import StaleClaim, Unavailable
from engine.store.db.compiled import driver
from engine.store.db.database import Connection, Database
from engine.store.db.sqlite import SqliteDatabase
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.processes import eventually
from tests.support.saying import transform

INSERT = text("INSERT INTO leases (name, holder, until) VALUES (:name, 'w', 1)")


@pytest.fixture
def database(sqlite_url: str) -> Iterator[SqliteDatabase]:
    opened = Database.open(sqlite_url)
    assert isinstance(opened, SqliteDatabase)
    yield opened
    opened.close()


def insert(connection: Connection, name: str) -> str:
    connection.execute(INSERT, {"name": name})
    return name


def refuse(connection: Connection) -> str:
    insert(connection, "refused")
    raise StaleClaim("another was first")


def break_a_rule(connection: Connection) -> str:
    insert(connection, "broken")
    return insert(connection, "broken")


def names(database: Database) -> set[str]:
    asked = text("SELECT name FROM leases")
    return set(database.read(lambda connection: connection.execute(asked).scalars().all()))


@contextmanager
def held(database: SqliteDatabase) -> Iterator[None]:
    """Hold the turn as another process would: writers queue up meanwhile, for one commit."""
    other = os.open(f"{database.path}.lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(other)


@contextmanager
def statements(database: SqliteDatabase) -> Iterator[list[str]]:
    """Collect what the writer says to SQLite: the first word of each statement."""
    database.write(lambda _connection: None)  # opens the writer's connection
    assert database._writing is not None
    raw = driver(database._writing)
    said: list[str] = []
    raw.set_trace_callback(lambda statement: said.append(statement.split()[0]))
    yield said
    raw.set_trace_callback(None)


def together(
    database: SqliteDatabase,
    works: Sequence[Callable[[Connection], str]],
    before: Callable[[], None] = lambda: None,
) -> list[str | BaseException]:
    """Write all of these in one batch and return what each was told; ``before`` it commits."""
    told: list[str | BaseException] = [""] * len(works)

    def write(index: int) -> None:
        try:
            told[index] = database.write(works[index])
        except BaseException as error:
            told[index] = error

    threads = [threading.Thread(target=write, args=(index,)) for index in range(len(works))]
    with held(database):
        for thread in threads:
            thread.start()
        eventually(lambda: len(database._queue) == len(works), seconds=20, what="all of them queue")
        before()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a writer was never woken"
    return told


def test_a_refused_and_a_failing_member_harm_no_other(database: SqliteDatabase) -> None:
    good = [partial(insert, name=f"good{n}") for n in range(4)]
    with statements(database) as said:
        told = together(database, [good[0], refuse, good[1], break_a_rule, good[2], good[3]])
    assert said.count("COMMIT") == 1
    assert [told[at] for at in (0, 2, 4, 5)] == ["good0", "good1", "good2", "good3"]
    assert isinstance(told[1], StaleClaim)
    assert isinstance(told[3], IntegrityError)
    assert names(database) == {"good0", "good1", "good2", "good3"}


def test_a_lone_writer_waits_for_nobody(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        raise AssertionError("a writer that was alone waited")

    monkeypatch.setattr("engine.store.db.sqlite.time.sleep", sleep)
    with statements(database) as said:
        assert database.write(lambda connection: insert(connection, "alone")) == "alone"
    assert said == ["BEGIN", "INSERT", "COMMIT"]
    with suppress(StaleClaim):
        database.write(refuse)
    assert names(database) == {"alone"}, "a refused one alone is rolled back too"


def test_a_commit_that_fails_is_unknown_to_every_waiter(database: SqliteDatabase) -> None:
    database.write(lambda connection: insert(connection, "before"))
    log = Path(f"{database.path}-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk() -> None:
        # What a batch wrote reaches the file when it commits: there it fails, and not before.
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, before[1]))

    # The refused one may have met what a batch-mate wrote, and what is gone now.
    works: list[Callable[[Connection], str]] = [refuse]
    works += [partial(insert, name=f"lost{n}") for n in range(3)]
    try:
        with statements(database) as said:
            told = together(database, works, fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said.count("COMMIT") == 1
    assert all(isinstance(one, Unavailable) for one in told), told
    assert names(database) == {"before"}, "reading again settles it"
    assert database.write(lambda connection: insert(connection, "after")) == "after"


@contextmanager
def replies_lost(database: SqliteDatabase, owed: list[str]) -> Iterator[None]:
    """Let each commit go through, and lose the word of one for each that is ``owed``."""
    commit = database._commit

    def lose(batch: Any) -> None:
        commit(batch)
        if owed:
            raise sqlite3.OperationalError(owed.pop())

    vars(database)["_commit"] = lose
    yield
    del vars(database)["_commit"]


def test_a_commit_whose_reply_is_lost_is_unknown_until_it_is_read(
    database: SqliteDatabase,
) -> None:
    works = [partial(insert, name=f"kept{n}") for n in range(3)]
    with replies_lost(database, ["the reply was lost"]):
        told = together(database, works)
    assert all(isinstance(one, Unavailable) for one in told), told
    assert names(database) == {"kept0", "kept1", "kept2"}


OWED: list[str] = []


def unlucky() -> int:
    """Return a result; the next commit, which is to keep it, will not be heard of."""
    OWED.append("the reply was lost")
    return 2


def test_a_result_whose_commit_is_unknown_is_read_again_and_not_written_twice(
    database: SqliteDatabase,
) -> None:
    house = House(database)
    execution_id = house.start(house.publish("one", {"a": python(unlucky), "b": transform(3)}))
    first, second = house.plan(execution_id)
    house.inbox.clear()
    with replies_lost(database, OWED):
        house.deliver(first)
    assert OWED == []
    assert house.step(execution_id, 0, "status", "output", "attempts") == ("completed", "2", 1)
    assert house.events(execution_id).count("step_completed") == 1
    house.deliver(second)
    house.drain()
    house.plan(execution_id)
    assert house.status(execution_id) == "completed"
    check(database)
