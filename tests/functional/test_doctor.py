"""The doctor and the stranded, as people and programs meet them: no process but this one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from engine.commands.publish import publish
from engine.commands.start import start
from engine.definition import parse
from engine.settings import Settings
from engine.store.recovery import liveness
from tests.support.command_line import Engine
from tests.support.house import House, python
from tests.support.transitions import chain, inc
from tests.support.web import Web, problem, web

GONE: dict[str, Any] = {"a": {"uses": "python", "with": {"function": "gone.work"}}}
HERE: dict[str, Any] = {"a": {"uses": "transform", "with": {"value": 1}}}


def test_the_doctor_finds_tells_and_repairs(engine: Engine, house: House) -> None:
    house.sweep()
    well = engine("doctor")
    assert (well.code, "nothing wrong" in well.out) == (0, True)

    house.run(house.publish("lost", HERE))
    house.write("DELETE FROM events WHERE type = 'started'")
    execution_id = house.start(chain(house))
    house.plan(execution_id)
    house.write("UPDATE executions SET active = 7 WHERE id = :id", id=execution_id)
    ill = engine("doctor", "--json")
    assert ill.code == 1
    found = {one["rule"]: one for one in ill.json["items"]}
    assert (found["counters"]["execution_id"], found["counters"]["repair"]) == (
        execution_id,
        "recount",
    )
    assert found["events_missing"]["repair"] is None
    told = engine("doctor").out
    for words in (execution_id, "active is 7", "why it matters", "repair:", "no safe repair"):
        assert words in told

    repaired = engine("doctor", "--repair", "--yes")
    assert repaired.code == 1  # what nobody can repair is still there
    assert house.execution(execution_id, "active") == (1,)
    assert "counters" not in {one["rule"] for one in engine("doctor", "--json").json["items"]}
    assert engine("doctor", "--yes").code == 2


def test_the_stranded_are_listed_counted_and_moved(engine: Engine, house: House) -> None:
    house.sweep()
    execution_id = house.run(house.publish("shop", GONE))
    assert "gone.work" in engine("stranded", "list").out
    assert engine("doctor", "--json").json["stranded"][0]["executions"] == 1
    assert engine("stranded", "move", "shop", "--yes").code == 2
    house.publish("shop", HERE)
    assert "1 would be moved" in engine("stranded", "move", "shop", "--dry-run").out
    assert house.status(execution_id) == "running"
    moved = engine("stranded", "move", "shop", "--yes", "--json").json
    assert moved["done"][0]["execution_id"] == execution_id
    house.plan(moved["done"][0]["moved_to"])
    house.drain()
    assert house.status(moved["done"][0]["moved_to"]) == "completed"
    assert engine("stranded", "list", "--json").json == {"items": []}


def test_while_no_worker_is_alive_nobody_is_said_to_have_all_code(
    engine: Engine, house: House
) -> None:
    house.run(house.publish("shop", GONE))
    house.kill("w1")
    assert "no worker is alive" in engine("stranded", "list").out
    house.hire("w2")
    assert "gone.work" in engine("stranded", "list").out


@pytest.fixture
def api(sqlite_url: str, redis_url: str) -> Iterator[Web]:
    with web(sqlite_url, redis_url) as opened:
        yield opened


def _start(api: Web, name: str, steps: dict[str, Any]) -> str:
    workflow = publish(api.database, api.owner_id, parse({"name": name, "steps": steps}))
    return start(
        api.database,
        api.client.versions,
        owner_id=api.owner_id,
        workflow_id=workflow.workflow_id,
        input={},
        message_id="m",
    ).execution_id


def test_the_api_tells_the_owner_alone_and_changes_nothing_unless_told_to(api: Web) -> None:
    execution_id = _start(api, "shop", GONE)
    path, program = "/api/executions/stranded", api.program()
    assert program.get(path).json()["items"] == []  # nobody can tell what workers would know
    problem(program.post(f"{path}/cancel", json={"workflow": "shop"}), 409, "conflict")

    worker = liveness.WorkerRow("w1", "here", 1, ["steps"], 8, [])
    now = api.database.now()
    api.database.write(lambda connection: liveness.register(connection, worker, now))
    [one] = program.get(path).json()["items"]
    assert (one["workflow"], one["executions"]) == ("shop", 1)
    assert one["missing"] == [{"step": "a", "code": "gone.work"}]

    stranger = api.program(api.stranger_id)
    assert stranger.get(path).json()["items"] == []
    problem(stranger.post(f"{path}/cancel", json={"workflow": "shop"}), 404, "not_found")

    counted = program.post(f"{path}/cancel", json={"workflow": "shop"}).json()
    assert (counted["dry_run"], len(counted["done"])) == (True, 1)
    status = f"/api/executions/{execution_id}"
    assert program.get(status).json()["row"]["status"] == "pending"
    program.post(f"{path}/cancel", json={"workflow": "shop", "dry_run": False})
    assert program.get(status).json()["row"]["status"] == "cancelled"


def test_a_worker_that_starts_logs_what_it_cannot_run(
    house: House, sqlite_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    from actors.worker import WorkerRuntime

    python(inc)
    house.run(house.publish("shop", GONE))
    house.run(chain(house))
    crew = WorkerRuntime(Settings(DATABASE_URL=sqlite_url, REDIS_URL=redis_url))
    with caplog.at_level(logging.WARNING, logger="engine.worker"):
        crew._warn_of_stranded()
    crew.database.close()
    [line] = [record.getMessage() for record in caplog.records if "wait for code" in record.msg]
    assert line.startswith(
        "1 executions of shop v1 wait for code that no worker has: a (gone.work)"
    )
