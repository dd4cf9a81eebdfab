"""Schedules on real databases: who may touch them, and that each slot fires once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from engine.codec import decode
from engine.commands.publish import publish
from engine.commands.scheduler import tick
from engine.commands.start import admit_slot
from engine.definition import parse
from engine.errors import InvalidInput, NotFound
from engine.flow.definition_cache import Versions
from engine.ids import new_id
from engine.store.db.database import Database
from engine.store.tables import Execution, Schedule, User
from engine.store.writes import schedules
from engine.store.writes.schedules import DueSchedule, NewSchedule

OWNER, STRANGER = "0000000000001", "0000000000002"
MINUTE = 60_000_000
DOCUMENT = {"name": "orders", "steps": {"a": {"uses": "transform", "with": {"value": 1}}}}
NEW = NewSchedule(owner_id=OWNER, workflow="orders", name="each minute", cron="* * * * *")


@pytest.fixture
def now(database: Database) -> int:
    """A time five seconds into this minute, by the database's clock."""
    return database.now() // MINUTE * MINUTE + 5_000_000


@pytest.fixture(autouse=True)
def workflow(database: Database) -> str:
    """Two users, and a workflow of the first one's: its id."""

    def work(connection: Connection) -> None:
        for user in (OWNER, STRANGER):
            connection.execute(insert(User), {"id": user, "name": f"u{user}", "created_at": 0})

    database.write(work)
    return _publish(database)


def _publish(database: Database, **parts: Any) -> str:
    """Publish a version of the workflow, and return its id."""
    return publish(database, OWNER, parse(DOCUMENT | parts)).workflow_id


def _tick(database: Database) -> list[str]:
    return tick(database, Versions(database), new_id)


def _create(database: Database, now: int, **changes: Any) -> str:
    new = replace(NEW, **changes)
    return database.write(lambda connection: schedules.create(connection, new, now))


def _row(database: Database, schedule_id: str) -> Any:
    return database.read(
        lambda connection: connection.execute(
            select(Schedule.__table__).where(Schedule.id == schedule_id)
        ).one()
    )


def _set(database: Database, schedule_id: str, **values: Any) -> None:
    """Change a schedule behind the engine's back."""
    change = update(Schedule).where(Schedule.id == schedule_id).values(values)
    database.write(lambda connection: connection.execute(change))


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


def test_a_schedule_is_first_due_at_its_next_slot(
    database: Database, now: int, workflow: str
) -> None:
    row = _row(database, _create(database, now, input='{"url": "x"}'))
    assert row.next_at == now - 5_000_000 + MINUTE
    assert (row.workflow_id, row.input, row.missed) == (workflow, '{"url": "x"}', "latest")
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
    assert _tick(database) == []
    clock(60)
    assert len(_tick(database)) == 1
    assert _tick(database) == []
    clock(120)
    assert len(_tick(database)) == 1
    first = start - 5_000_000 + MINUTE
    assert _slots(database) == [first, first + MINUTE]
    row = _row(database, schedule_id)
    assert (row.last_slot, row.next_at) == (first + MINUTE, first + 2 * MINUTE)


def test_what_is_paused_fires_nothing_and_misses_nothing(database: Database, clock: Any) -> None:
    schedule_id = _create(database, clock(0), missed="all")
    database.write(lambda connection: schedules.pause(connection, OWNER, schedule_id, clock(1)))
    clock(600)
    assert _tick(database) == []
    resumed = clock(605)
    database.write(lambda connection: schedules.resume(connection, OWNER, schedule_id, resumed))
    assert _tick(database) == []
    clock(660)
    assert len(_tick(database)) == 1
    assert _slots(database) == [resumed // MINUTE * MINUTE + MINUTE]


def test_resuming_what_runs_does_not_pass_over_a_due_slot(database: Database, clock: Any) -> None:
    schedule_id = _create(database, clock(0))
    late = clock(61)
    database.write(lambda connection: schedules.resume(connection, OWNER, schedule_id, late))
    assert len(_tick(database)) == 1


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
    assert len(_tick(database)) == count
    assert _slots(database) == [due + hour * 60 * MINUTE for hour in range(3)][3 - count :]
    assert _tick(database) == []
    assert _row(database, schedule_id).next_at == due + 3 * 60 * MINUTE


def test_many_tickers_at_once_fire_each_slot_once(database: Database, clock: Any) -> None:
    start = clock(0)
    made = [_create(database, start, name=f"s{number}", missed="all") for number in range(20)]
    clock(3 * 60)
    together = threading.Barrier(6)

    def one(_: int) -> list[str]:
        together.wait(10)
        return _tick(database)

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
    assert len(_tick(database)) == 1
    # As after a restore of an older backup of the schedules alone.
    _set(database, schedule_id, next_at=due)
    assert _tick(database) == []
    assert _slots(database) == [due]


def _inputs(database: Database) -> list[Any]:
    query = select(Execution.version, Execution.input).order_by(Execution.slot)
    found = database.read(lambda connection: connection.execute(query).all())
    return [(row.version, decode(row.input)) for row in found]


def test_a_slot_gets_the_defaults_of_the_version_it_starts(database: Database, clock: Any) -> None:
    _create(database, clock(0), input='{"a": 1}')
    number = {"type": "integer", "default": 5}
    _publish(database, input={"type": "object", "properties": {"c": number}}, timeout="1h")
    clock(60)
    assert len(_tick(database)) == 1
    assert _inputs(database) == [(2, {"a": 1, "c": 5})]
    deadline = select(Execution.deadline_at - Execution.created_at)
    found = database.read(lambda connection: connection.scalars(deadline).one())
    assert found == 3_600_000_000


def test_a_schedule_whose_input_fits_no_more_is_held_up_told_once_and_goes_on_when_it_fits(
    database: Database, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bad = _create(database, clock(0), name="bad")
    good = _create(database, clock(0), name="good", version=1)
    _publish(database, input={"type": "object", "required": ["b"]})
    clock(60)
    assert len(_tick(database)) == 1
    clock(120)
    assert len(_tick(database)) == 1
    assert _slots(database, bad) == []
    assert len(_slots(database, good)) == 2
    row = _row(database, bad)
    assert "its input does not fit version 2 of orders" in row.problem
    assert "input.b: is required" in row.problem
    assert row.problem_at == clock(60)
    assert [record.message for record in caplog.records if bad in record.message] == [
        f"schedule bad ({bad}) cannot start: {row.problem}"
    ]
    assert database.read(schedules.held_up) == 1

    _publish(database, input={"type": "object"})
    clock(180)
    assert len(_tick(database)) == 2
    row = _row(database, bad)
    assert (row.problem, row.problem_at) == (None, None)
    assert _slots(database, bad) == [row.last_slot]
    assert database.read(schedules.held_up) == 0


def test_a_zone_that_went_away_holds_up_its_schedule_alone(database: Database, clock: Any) -> None:
    gone = _create(database, clock(0), name="gone")
    good = _create(database, clock(0), name="good")
    _set(database, gone, zone="US/Vanished")
    clock(60)
    assert len(_tick(database)) == 1
    assert len(_slots(database, good)) == 1
    assert "'US/Vanished' is no time zone" in _row(database, gone).problem
    _set(database, gone, zone="UTC")
    assert len(_tick(database)) == 1
    assert _row(database, gone).problem is None


def test_a_fault_of_our_own_holds_up_one_schedule_and_leaves_nothing_of_its_claim(
    database: Database, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (_create(database, clock(0), name=name) for name in ("bad", "good"))
    clock(60)

    def picky(connection: Connection, schedule: DueSchedule, *rest: Any, **more: Any) -> Any:
        admitted = admit_slot(connection, schedule, *rest, **more)
        if schedule.id == bad:
            raise ZeroDivisionError
        return admitted

    with monkeypatch.context() as patched:
        patched.setattr("engine.commands.scheduler.admit_slot", picky)
        assert len(_tick(database)) == 1
    assert (len(_slots(database, good)), _slots(database, bad)) == (1, [])
    assert _row(database, bad).problem == "a fault of the engine: ZeroDivisionError"
    assert len(_tick(database)) == 1, "nothing of the failed claim was kept"


@pytest.mark.parametrize(
    ("policy", "cap", "count"), [("skip", 10, 59), ("latest", 10, 59), ("all", 10, 50)]
)
def test_slots_that_are_passed_over_are_told(
    database: Database, clock: Any, policy: str, cap: int, count: int
) -> None:
    start = clock(0)
    schedule_id = _create(database, start, missed=policy, missed_cap=cap)
    first = _row(database, schedule_id).next_at
    down = clock(3600)
    _tick(database)
    told = decode(_row(database, schedule_id).skipped)
    assert told["first"] == first
    assert told["at"] == down
    assert (told["count"], told["last"]) == (count, first + (count - 1) * MINUTE)


def test_a_schedule_that_starts_on_time_has_passed_over_nothing(
    database: Database, clock: Any
) -> None:
    schedule_id = _create(database, clock(0))
    clock(60)
    _tick(database)
    assert _row(database, schedule_id).skipped is None


def test_schedules_behind_a_page_of_others_are_met_too(
    database: Database, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.commands.scheduler._PAGE", 2)
    for number in range(5):
        _create(database, clock(0), name=f"s{number}")
    clock(60)
    assert len(_tick(database)) == 5
    count = select(func.count()).select_from(Execution)
    assert database.read(lambda connection: connection.scalar(count)) == 5
