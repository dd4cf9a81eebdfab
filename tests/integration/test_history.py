"""What benchmarks measure on is what the engine would have left."""

from __future__ import annotations

import pytest

from benchmarks import history
from engine.core.status import ExecutionStatus
from engine.recovery.doctor import Examination
from engine.settings import Settings
from engine.store import reads
from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.store.writes import users


def test_the_doctor_finds_nothing_wrong_in_a_made_history(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MIX", dict.fromkeys(history.MIX, 11_000))
    history.fill(database_url, 200)
    now = database.now()
    worker = liveness.WorkerRow("alive", "here", 1, ["steps"], 8, [])
    database.write(lambda connection: liveness.register(connection, worker, now))
    database.write(lambda connection: liveness.take_lease(connection, "rescue", "alive", now, now))
    report = Examination(database, Settings(), sleep=lambda _seconds: None).run(hours=None)
    assert (report.executions, report.findings) == (200, [])

    first = database.read(users.first)
    assert first is not None
    counts = database.read(lambda connection: reads.counts(connection, first.id))
    left = {ExecutionStatus.PENDING, ExecutionStatus.RUNNING}  # a worker would be at them
    assert {status for status, number in counts.items() if number} == set(ExecutionStatus) - left


def test_the_same_seed_makes_the_same_history(sqlite_url: str) -> None:
    def shape(url: str, seed: int) -> list[tuple[object, ...]]:
        history.fill(url, 50, seed=seed)
        opened = Database.open(url)
        sql = (
            "SELECT e.status, e.trigger, w.name, count(*) FROM executions e"
            " JOIN workflows w ON w.id = e.workflow_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        rows = opened.read(lambda connection: connection.exec_driver_sql(sql).all())
        opened.close()
        return [tuple(row) for row in rows]

    once = shape(sqlite_url, 7)
    assert sum(int(str(row[3])) for row in once) == 50
    assert shape(sqlite_url + "2", 7) == once
    assert shape(sqlite_url + "3", 8) != once
