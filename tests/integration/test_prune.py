"""What is long over is forgotten, whole; what an open execution has to do with stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from engine.commands import prune
from engine.errors import NotFound
from engine.ids import encode, first_id
from engine.io.payloads import Payloads, place
from engine.store.db.database import Database
from engine.store.tables import (
    Artifact,
    Attempt,
    CachedResult,
    DeadLetter,
    EventRow,
    LogLine,
    Notice,
    Signal,
    StepRun,
)
from engine.store.writes import prune as store
from tests.support import rows
from tests.support.house import House
from tests.support.rows import SECOND

DAY = 86_400 * SECOND
ONE = {"a": {"uses": "transform", "with": {"value": 1}}}


class Past:
    """Executions that were made and ended long ago."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.database = house.database
        self.workflow = house.publish("one", ONE)
        self.now = house.database.now()
        self.before = self.now - 30 * DAY
        self._made = 0

    def execution(self, days: float = 40, status: str = "completed", **values: Any) -> str:
        """Insert an execution that ended that many days ago, with a row of each kind."""
        self._made += 1
        at = self.now - int(days * DAY)
        execution_id = first_id(at)[:-4] + encode(self._made)[-4:]
        ended = {"created_at": at, "finished_at": None if status == "running" else at}
        rows.execution(
            self.database,
            self.house.owner_id,
            self.workflow,
            id=execution_id,
            status=status,
            **{**ended, "runs_total": 1, "last_seq": 1, "last_log": 1, **values},
        )
        rows.run(self.database, execution_id, 0, "completed")
        rows.attempt(self.database, execution_id, 0, 1)
        here = {"execution_id": execution_id, "step": 0, "item": -1}
        self.insert(EventRow, **here, seq=1, type="created", at=at)
        self.insert(LogLine, **here, seq=1, attempt=1, at=at, level="info", message="x")
        return execution_id

    def insert(self, model: Any, **values: Any) -> None:
        """Insert a row."""

        def work(connection: Connection) -> None:
            connection.execute(insert(model), values)

        self.database.write(work)

    def signal(self, name: str, days: float = 40, **values: Any) -> str:
        """Insert a signal that was sent that many days ago."""
        signal_id = first_id(self.now - int(days * DAY))[:-4] + name
        row = {"id": signal_id, "owner_id": self.house.owner_id, "name": name, "correlation": ""}
        self.insert(
            Signal, **{**row, "body": "1", "created_at": self.now - int(days * DAY), **values}
        )
        return signal_id

    def left(self, table: str) -> set[str]:
        """Return the ids of what a table still has."""
        return {str(row[0]) for row in self.house.query(f"SELECT id FROM {table}")}


@pytest.fixture
def past(database: Database) -> Past:
    return Past(House(database))


def test_an_ended_execution_goes_with_all_that_is_its(past: Past) -> None:
    old, fresh = past.execution(), past.execution(days=1)
    artifact = {"step": 0, "item": -1, "attempt": 1, "name": "a", "media_type": "text/plain"}
    past.insert(
        Artifact, id="00000000000a1", execution_id=old, size=1, body="", created_at=1, **artifact
    )
    letter = {"queue": "steps", "actor": "run_step", "message": "{}", "reason": "worker_crashed"}
    past.insert(DeadLetter, id="00000000000d1", execution_id=old, created_at=1, **letter)
    past.insert(Notice, id="00000000000n1", kind="cancel", execution_id=old, created_at=1)
    told = prune.preview(past.database, before=past.before)
    assert told == prune.Pruned(1, 0, 0, 0)
    assert past.left("executions") == {old, fresh}
    assert prune.prune(past.database, before=past.before) == told
    assert past.left("executions") == {fresh}
    for model in (StepRun, Attempt, EventRow, LogLine):
        kept = past.house.query(f"SELECT execution_id FROM {model.__tablename__}")
        assert {row[0] for row in kept} == {fresh}, model
    assert past.left("artifacts") | past.left("dead_letters") | past.left("notices") == set()


def test_what_is_open_and_what_it_has_to_do_with_stays(past: Past) -> None:
    origin, parent = past.execution(status="failed"), past.execution()
    running = past.execution(status="running", origin_id=origin, parent_id=parent)
    child = past.execution(parent_id=running)
    paused = past.execution(status="paused", finished_at=None)
    alone = past.execution(status="cancelled", origin_id=child)
    assert prune.prune(past.database, before=past.before).executions == 1
    assert past.left("executions") == {origin, parent, running, child, paused}
    assert alone not in past.left("executions")


@pytest.mark.parametrize("portion", [1, 12, 5_000])
def test_portions_go_through_all_and_do_not_stop_at_those_that_stay(
    past: Past, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = past.execution(status="failed")
    for _ in range(9):
        past.execution(runs_total=3)
    open_one = past.execution(status="running", origin_id=origin)
    commits: list[int] = []

    def counting(connection: Connection, *args: Any, **more: Any) -> tuple[list[str], str | None]:
        ids, reached = executions(connection, *args, **more)
        commits.extend([len(ids)] if ids else [])
        return ids, reached

    executions = store.executions
    monkeypatch.setattr(store, "executions", counting)
    assert prune.prune(past.database, before=past.before, rows=portion).executions == 9
    assert commits == {1: [1] * 9, 12: [1, 2, 2, 2, 2], 5_000: [9]}[portion]
    assert past.left("executions") == {origin, open_one}


def test_a_signal_stays_while_somebody_may_still_take_it(past: Past) -> None:
    open_one, ended = past.execution(status="running"), past.execution(days=1)
    on_its_way = past.signal("sent", taken_at=1, taken_by=open_one)
    answer = {"id": "00000000000n1", "kind": "answer", "execution_id": open_one}
    past.insert(Notice, **answer, signal_id=on_its_way, created_at=1)
    mine = past.signal("mine", execution_id=open_one)
    fresh = past.signal("late", days=1)
    past.signal("gone")
    past.signal("over", execution_id=ended)
    past.signal("used", taken_at=1, taken_by=ended)
    assert prune.preview(past.database, before=past.before).signals == 3
    assert prune.prune(past.database, before=past.before, rows=2).signals == 3
    assert past.left("signals") == {on_its_way, mine, fresh}


def test_letters_without_an_execution_and_results_whose_time_is_over_go(past: Past) -> None:
    open_one = past.execution(status="running")
    letter = {"queue": "steps", "actor": "dispatch", "message": "{}", "reason": "dispatch_failed"}
    for number, execution_id in enumerate((None, "0000000000000", open_one)):
        key = f"00000000000d{number}"
        past.insert(DeadLetter, id=key, execution_id=execution_id, created_at=1, **letter)
    result = {"owner_id": past.house.owner_id, "output": "1", "execution_id": open_one}
    for number in range(5):
        over = past.now + (1 if number else -1) * SECOND
        past.insert(CachedResult, key=str(number), **result, created_at=1, expires_at=over)
    expected = prune.Pruned(executions=0, signals=0, dead_letters=2, cached_results=1)
    assert prune.preview(past.database, before=past.before) == expected
    assert prune.prune(past.database, before=past.before, rows=1) == expected
    assert past.left("dead_letters") == {"00000000000d2"}
    assert len(past.house.query("SELECT key FROM cached_results")) == 4


def test_large_values_go_with_their_execution_unless_another_took_them_over(
    past: Past, tmp_path: Path
) -> None:
    payloads = past.database.payloads = Payloads(f"file://{tmp_path}", inline=10)

    def keep(execution_id: str) -> str:
        where = place(execution_id, 0, -1, epoch=1, attempt=1, kind="output")
        return payloads.keep('"' + "x" * 100 + '"', where, "the result")

    old, origin, unknown = past.execution(), past.execution(), first_id(past.before - DAY)
    for execution_id in (old, unknown):
        keep(execution_id)
    fresh = past.execution(days=1)
    kept = keep(origin)
    rows.run(past.database, fresh, 0, "completed", item=0, output=kept, reused_from=origin)
    assert prune.prune(past.database, before=past.before).executions == 2
    assert past.left("executions") == {fresh}
    assert set(payloads.executions()) == {origin, unknown}


def test_what_was_pruned_a_moment_before_is_not_run_again(past: Past) -> None:
    old = past.execution(status="failed")
    past.database.write(lambda connection: store.hold(connection, old))
    prune.prune(past.database, before=past.before)
    with pytest.raises(NotFound):
        past.database.write(lambda connection: store.hold(connection, old))
    with pytest.raises(NotFound):
        past.house.retry(old)


def test_one_that_is_being_run_again_is_passed_over(postgresql_url: str) -> None:
    database = Database.open(postgresql_url)
    past = Past(House(database))
    held, other = past.execution(status="failed"), past.execution()

    def work(connection: Connection) -> prune.Pruned:
        store.hold(connection, held)
        return prune.prune(database, before=past.before)

    assert database.write(work).executions == 1
    assert past.left("executions") == {held}
    assert other not in past.left("executions")
    database.close()
