"""Schedules on real databases: who may touch them, and that each slot fires once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from engine.calendar_tick import tick
from engine.errors import EngineError, InvalidInput, NotFound
from engine.store import schedules
from engine.store.database import Database
from engine.store.executions import NewExecution, admit
from engine.store.models import Execution, Schedule, User, Workflow, WorkflowVersion
from engine.store.schedules import DueSchedule, NewSchedule

OWNER, STRANGER = "0000000000001", "0000000000002"
WORKFLOW = "0000000000003"
MINUTE = 60_000_000
NEW = NewSchedule(owner_id=OWNER, workflow="orders", name="each minute", cron="* * * * *")


@pytest.fixture
def now(database: Database) -> int:
    """A time five seconds into this minute, by the database's clock."""
    return database.now() // MINUTE * MINUTE + 5_000_000


@pytest.fixture(autouse=True)
def workflow(database: Database) -> None:
    def work(connection: Connection) -> None:
        for user in (OWNER, STRANGER):
            connection.execute(insert(User), {"id": user, "name": f"u{user}", "created_at": 0})
        made = {"id": WORKFLOW, "owner_id": OWNER, "name": "orders", "latest_version": 1}
        connection.execute(insert(Workflow), made | {"created_at": 0})
        version = {"workflow_id": WORKFLOW, "number": 1, "hash": "x", "document": "{}"}
        connection.execute(
            insert(WorkflowVersion), version | {"created_by": OWNER, "created_at": 0}
        )

    database.write(work)


def _admit(connection: Connection, schedule: DueSchedule, slot: int) -> str | None:
    admitted = admit(
        connection,
        NewExecution(
            owner_id=schedule.owner_id,
            workflow_id=schedule.workflow_id,
            version=schedule.version or 1,
            input=schedule.input,
            trigger="schedule",
            schedule_id=schedule.id,
            slot=slot,
        ),
        slot,
    )
    return admitted.execution_id if admitted.created else None


def _create(database: Database, now: int, **changes: Any) -> str:
    new = replace(NEW, **changes)
    return database.write(lambda connection: schedules.create(connection, new, now))


def _row(database: Database, schedule_id: str) -> Any:
    return database.read(
        lambda connection: connection.execute(
            select(Schedule.__table__).where(Schedule.id == schedule_id)
        ).one()
    )


def _slots(database: Database, schedule_id: str | None = None) -> list[int]:
    query = select(Execution.slot).order_by(Execution.slot)
    if schedule_id:
        query = query.where(Execution.schedule_id == schedule_id)
    return [
        int(slot or 0) for slot in database.read(lambda connection: connection.scalars(query).all())
    ]


@pytest.fixture
def clock(database: Database, monkeypatch: pytest.MonkeyPatch, now: int) -> Callable[[float], int]:
    """Sets the database's clock: ``clock(seconds)`` after ``now``."""

    def at(seconds: float) -> int:
        moment = now + round(seconds * 1e6)
        monkeypatch.setattr(database, "now", lambda: moment)
        return moment

    at(0)
    return at


def test_a_schedule_is_first_due_at_its_next_slot(database: Database, now: int) -> None:
    row = _row(database, _create(database, now, input='{"url": "x"}'))
    assert row.next_at == now - 5_000_000 + MINUTE
    assert (row.workflow_id, row.input, row.missed) == (WORKFLOW, '{"url": "x"}', "latest")
    assert database.read(lambda connection: schedules.due(connection, now, 10)) == []


def test_every_fault_of_a_new_schedule_is_named(database: Database, now: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        _create(database, now, name=" ", cron="x", zone="Mars", missed="maybe", missed_cap=0)
    paths = {fault.path for fault in caught.value.faults}
    assert paths == {"name", "cron", "zone", "missed", "missed_cap"}


def test_a_strangers_workflow_or_a_missing_version_is_not_found(
    database: Database, now: int
) -> None:
    with pytest.raises(NotFound):
        _create(database, now, owner_id=STRANGER)
    with pytest.raises(NotFound, match="no version 7"):
        _create(database, now, version=7)


@pytest.mark.parametrize(
    "touch",
    [
        lambda connection, owner, which: schedules.pause(connection, owner, which, 1),
        lambda connection, owner, which: schedules.resume(connection, owner, which, 1),
        schedules.remove,
    ],
)
def test_a_stranger_finds_no_schedule(
    database: Database, now: int, touch: Callable[[Connection, str, str], None]
) -> None:
    schedule_id = _create(database, now)
    before = _row(database, schedule_id)
    with pytest.raises(NotFound):
        database.write(lambda connection: touch(connection, STRANGER, schedule_id))
    with pytest.raises(NotFound):
        database.write(lambda connection: touch(connection, OWNER, "0000000000009"))
    assert _row(database, schedule_id) == before


def test_a_removed_schedule_is_gone(database: Database, now: int) -> None:
    schedule_id = _create(database, now)
    database.write(lambda connection: schedules.remove(connection, OWNER, schedule_id))
    with pytest.raises(NotFound):
        database.write(lambda connection: schedules.remove(connection, OWNER, schedule_id))


def test_a_slot_fires_once_and_the_next_one_when_it_is_due(database: Database, clock: Any) -> None:
    start = clock(0)
    schedule_id = _create(database, start)
    assert tick(database, _admit) == []
    clock(60)
    assert len(tick(database, _admit)) == 1
    assert tick(database, _admit) == []
    clock(120)
    assert len(tick(database, _admit)) == 1
    first = start - 5_000_000 + MINUTE
    assert _slots(database) == [first, first + MINUTE]
    row = _row(database, schedule_id)
    assert (row.last_slot, row.next_at) == (first + MINUTE, first + 2 * MINUTE)


def test_what_is_paused_fires_nothing_and_misses_nothing(database: Database, clock: Any) -> None:
    schedule_id = _create(database, clock(0), missed="all")
    database.write(lambda connection: schedules.pause(connection, OWNER, schedule_id, clock(1)))
    clock(600)
    assert tick(database, _admit) == []
    resumed = clock(605)
    database.write(lambda connection: schedules.resume(connection, OWNER, schedule_id, resumed))
    assert tick(database, _admit) == []
    clock(660)
    assert len(tick(database, _admit)) == 1
    assert _slots(database) == [resumed // MINUTE * MINUTE + MINUTE]


def test_resuming_what_runs_does_not_pass_over_a_due_slot(database: Database, clock: Any) -> None:
    schedule_id = _create(database, clock(0))
    late = clock(61)
    database.write(lambda connection: schedules.resume(connection, OWNER, schedule_id, late))
    assert len(tick(database, _admit)) == 1


@pytest.mark.parametrize(
    ("missed", "cap", "count"),
    [("skip", 10, 0), ("latest", 10, 1), ("all", 10, 3), ("all", 2, 2)],
)
def test_after_three_hours_down_the_policy_says_what_fires(
    database: Database, clock: Any, missed: str, cap: int, count: int
) -> None:
    start = clock(0)
    minute = (start // MINUTE - 5) % 60  # hourly, last due five minutes before now
    schedule_id = _create(database, start, cron=f"{minute} * * * *", missed=missed, missed_cap=cap)
    due = _row(database, schedule_id).next_at
    clock(3 * 3600)
    assert len(tick(database, _admit)) == count
    assert _slots(database) == [due + hour * 60 * MINUTE for hour in range(3)][3 - count :]
    assert tick(database, _admit) == []
    assert _row(database, schedule_id).next_at == due + 3 * 60 * MINUTE


def test_many_tickers_at_once_fire_each_slot_once(database: Database, clock: Any) -> None:
    start = clock(0)
    made = [_create(database, start, name=f"s{number}", missed="all") for number in range(20)]
    clock(3 * 60)
    together = threading.Barrier(6)

    def one(_: int) -> list[str]:
        together.wait(10)
        return tick(database, _admit)

    with ThreadPoolExecutor(6) as pool:
        started = [execution for ids in pool.map(one, range(6)) for execution in ids]
    first = start - 5_000_000 + MINUTE
    assert len(started) == len(set(started)) == 60
    for schedule_id in made:
        assert _slots(database, schedule_id) == [first + number * MINUTE for number in range(3)]


def test_the_slot_itself_guards_when_a_claim_is_repeated(database: Database, clock: Any) -> None:
    schedule_id = _create(database, clock(0))
    due = _row(database, schedule_id).next_at
    clock(60)
    assert len(tick(database, _admit)) == 1
    # As after a restore of an older backup of the schedules alone.
    database.write(
        lambda connection: connection.execute(
            update(Schedule).where(Schedule.id == schedule_id).values(next_at=due)
        )
    )
    assert tick(database, _admit) == []
    assert _slots(database) == [due]


def test_a_schedule_that_cannot_start_stays_due_and_stops_no_other(
    database: Database, clock: Any
) -> None:
    start = clock(0)
    bad = _create(database, start, name="bad")
    worse = _create(database, start, name="worse")
    good = _create(database, start, name="good")
    clock(60)

    def picky(connection: Connection, schedule: DueSchedule, slot: int) -> str | None:
        admitted = _admit(connection, schedule, slot)
        if schedule.id == bad:
            raise EngineError("its workflow takes no input like this")
        if schedule.id == worse:
            raise ZeroDivisionError
        return admitted

    assert len(tick(database, picky)) == 1
    assert (len(_slots(database, good)), _slots(database, bad), _slots(database, worse)) == (
        1,
        [],
        [],
    )
    assert len(tick(database, _admit)) == 2, "nothing of the failed claims was kept"


def test_schedules_behind_a_page_of_others_are_met_too(
    database: Database, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.calendar_tick._PAGE", 2)
    for number in range(5):
        _create(database, clock(0), name=f"s{number}")
    clock(60)
    assert len(tick(database, _admit)) == 5
    count = select(func.count()).select_from(Execution)
    assert database.read(lambda connection: connection.scalar(count)) == 5
