"""Schedules fire by the tick that periodiq sends, here sent at once instead of once a minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.commands.schedule import create
from tests.support import invariants
from tests.support.fleet import Fleet, fleet_on, python
from tests.support.processes import eventually

MINUTE = 60_000_000  # µs


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Two workers for all tests here."""
    with fleet_on(request, request.param, workers=2) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """The shared fleet, without the schedules of the test before."""
    yield shared
    invariants.check(shared.database, effects=shared.effects())
    shared.write("DELETE FROM schedules")


def schedule(fleet: Fleet, name: str, *, late: int, **more: Any) -> str:
    """Return the id of a schedule of every minute whose first slot was ``late`` minutes ago."""
    workflow_id = fleet.publish(name, {"a": python("inc", x="${{ input.x }}")})
    schedule_id = create(
        fleet.database,
        owner_id=fleet.owner_id,
        workflow=workflow_id,
        name=name,
        cron="* * * * *",
        input={"x": 41},
        **more,
    )
    slot = fleet.database.now() // MINUTE * MINUTE - (late - 1) * MINUTE
    fleet.write("UPDATE schedules SET next_at = :slot WHERE id = :id", slot=slot, id=schedule_id)
    return schedule_id


def fired(fleet: Fleet, schedule_id: str) -> list[tuple[Any, ...]]:
    """Return status and output of what the schedule started."""
    sql = "SELECT status, output FROM executions WHERE schedule_id = :id ORDER BY slot"
    return fleet.query(sql, id=schedule_id)


def ticked(fleet: Fleet) -> bool:
    """Return whether every schedule is due in the future."""
    sql = "SELECT count(*) FROM schedules WHERE next_at <= :now"
    return bool(fleet.query(sql, now=fleet.database.now() // MINUTE * MINUTE)[0][0] == 0)


def test_a_schedule_that_is_due_starts_its_workflow(fleet: Fleet) -> None:
    schedule_id = schedule(fleet, "hourly", late=1)
    fleet.enqueue("tick")
    eventually(lambda: fired(fleet, schedule_id), seconds=20, what="the schedule fires")
    fleet.await_end()
    assert fired(fleet, schedule_id) == [("completed", "42")]
    [(trigger,)] = fleet.query(
        "SELECT trigger FROM executions WHERE schedule_id = :id", id=schedule_id
    )
    assert trigger == "schedule"


def test_many_ticks_at_once_fire_each_slot_once(fleet: Fleet) -> None:
    schedule_id = schedule(fleet, "caught-up", late=3, missed="all")
    for _ in range(8):
        fleet.enqueue("tick")
    eventually(lambda: ticked(fleet), seconds=20, what="the schedule is up to date")
    fleet.await_end()
    # A minute may pass between the making of the schedule and its tick: one slot more.
    assert fired(fleet, schedule_id)[:3] == [("completed", "42")] * 3
    assert len(fired(fleet, schedule_id)) <= 4


def test_a_paused_schedule_starts_nothing(fleet: Fleet) -> None:
    paused = schedule(fleet, "paused", late=1)
    fleet.write("UPDATE schedules SET paused_at = 1 WHERE id = :id", id=paused)
    due = schedule(fleet, "due", late=1)
    fleet.enqueue("tick")
    eventually(lambda: fired(fleet, due), seconds=20, what="the other schedule fires")
    fleet.await_end()
    assert fired(fleet, paused) == []
