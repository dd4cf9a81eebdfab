"""What a schedule has started carries its id, and is found by it: by API, command line and page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from engine.commands import schedule
from engine.commands.scheduler import tick
from engine.flow.definition_cache import Versions
from engine.ids import new_id
from engine.store.writes.schedules import remove
from engine_app.states import monitoring
from engine_app.states.monitoring import Filters
from tests.support.command_line import Engine
from tests.support.house import House
from tests.support.web import Web, web

STEPS = {"a": {"uses": "transform", "with": {"value": 1}}}


@dataclass
class Made:
    """Two schedules of one name, what each has started, and what was started by hand."""

    nightly: str
    started: str
    other: str
    by_hand: str


@pytest.fixture
def program(sqlite_url: str, redis_url: str) -> Iterator[Web]:
    with web(sqlite_url, redis_url) as opened:
        yield opened


@pytest.fixture
def house(program: Web) -> House:
    house = House(program.database)
    house.owner_id = program.owner_id
    return house


@pytest.fixture
def made(house: House, monkeypatch: pytest.MonkeyPatch) -> Made:
    database = house.database
    workflow = house.publish("report", STEPS)

    def create() -> str:
        return schedule.create(
            database, owner_id=house.owner_id, workflow=workflow, name="nightly", cron="* * * * *"
        )

    nightly, other = create(), create()
    by_hand = house.start(workflow)
    later = database.now() + 61_000_000
    monkeypatch.setattr(database, "now", lambda: later)
    tick(database, Versions(database), new_id)
    of = dict(house.query("SELECT schedule_id, id FROM executions"))
    return Made(nightly, of[nightly], other, by_hand)


def test_the_command_line_lists_them(engine: Engine, made: Made) -> None:
    (row,) = engine("list", "--schedule", made.nightly, "--json").json["items"]
    assert (row["id"], row["schedule_id"]) == (made.started, made.nightly)
    assert (row["trigger"], row["trigger_detail"]) == ("schedule", "nightly")
    assert len(engine("list", "--json").json["items"]) == 3
    said = engine("show", made.started).out
    assert f"started by schedule nightly ({made.nightly})" in said
    assert "schedule" not in engine("show", made.by_hand).out


def test_the_page_lists_them_and_names_the_schedule(house: House, made: Made) -> None:
    filters = Filters(schedule=made.nightly)
    assert filters.path() == f"/monitoring?schedule={made.nightly}"
    look = monitoring.read(house.database, house.owner_id, filters)
    assert [(row.id, row.schedule) for row in look.lines] == [(made.started, made.nightly)]
    assert monitoring.picture(look, filters).shared["schedule"] == "nightly"
    house.database.write(lambda c: remove(c, house.owner_id, made.nightly))
    gone = monitoring.read(house.database, house.owner_id, filters)
    assert ([row.id for row in gone.lines], gone.schedule) == ([made.started], made.nightly)


def test_the_api_lists_them_and_steers_them(program: Web, made: Made) -> None:
    client = program.program()
    found = client.get(f"/api/executions?schedule={made.nightly}").json()["items"]
    assert [(row["id"], row["schedule_id"]) for row in found] == [(made.started, made.nightly)]
    detail = client.get(f"/api/executions/{made.by_hand}").json()
    assert detail["row"]["schedule_id"] is None
    wanted = {"action": "cancel", "filter": {"schedule": made.nightly}}
    done = client.post("/api/executions/bulk", json=wanted).json()["done"]
    assert [one["id"] for one in done] == [made.started]
    assert client.get("/api/executions?schedule=gone").json()["items"] == []
