"""Steering executions by the API: pause, run again, many at once, signals, decisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from engine.store.tables import Execution, StepRun
from tests.support.house import House
from tests.support.web import Web, problem, web

VALUE = {"uses": "transform", "with": {"value": "${{ input.n }}"}}
BROKEN = {"uses": "transform", "with": {"value": "${{ 1 / input.n }}"}}
ASK: dict[str, Any] = {
    "uses": "approval",
    "with": {
        "title": "Pay ${{ input.n }}?",
        "description": "It is overdue.",
        "form": {"type": "object", "properties": {"amount": {"type": "integer"}}},
    },
}


@pytest.fixture
def web_house(sqlite_url: str, redis_url: str) -> Iterator[Web]:
    with web(sqlite_url, redis_url) as opened:
        yield opened


@pytest.fixture
def house(web_house: Web) -> House:
    """Carries out what the API starts."""
    house = House(web_house.database)
    house.owner_id = web_house.owner_id
    return house


def ask(*approvers: str) -> dict[str, Any]:
    return {**ASK, "with": {**ASK["with"], "approvers": list(approvers)}}


def test_pausing_and_resuming_say_where_the_execution_stands(web_house: Web, house: House) -> None:
    workflow = house.publish("one", {"a": VALUE})
    path = f"/api/executions/{house.start(workflow, {'n': 1})}"
    program = web_house.program()
    answer = program.post(f"{path}/pause", json={"note": "lunch"})
    assert (answer.status_code, answer.json()["status"]) == (202, "paused")
    assert program.get(path).json()["row"]["detail"] == "paused before it began"
    problem(program.post(f"{path}/pause"), 409, "conflict")
    assert program.post(f"{path}/resume").json()["status"] == "pending"
    problem(program.post(f"{path}/resume"), 409, "conflict")


def test_a_cancel_tells_until_when_running_steps_may_go_on(web_house: Web, house: House) -> None:
    workflow = house.publish("one", {"a": ASK})
    program = web_house.program()
    idle = house.run(workflow, {"n": 1})
    told = program.post(f"/api/executions/{idle}/cancel").json()
    assert (told["status"], told["interrupt_at"], told["revoke_at"]) == ("cancelled", None, None)
    busy = house.run(workflow, {"n": 1})
    run = update(StepRun).where(StepRun.execution_id == busy).values(status="running")
    row = update(Execution).where(Execution.id == busy).values(active=1, status="running")
    house.database.write(lambda connection: [connection.execute(run), connection.execute(row)])
    told = program.post(f"/api/executions/{busy}/cancel").json()
    assert told["status"] == "running"
    found = program.get(f"/api/executions/{busy}").json()["row"]
    assert found["ending"] == "cancelled"
    assert found["cancel_requested_at"] < told["interrupt_at"] < told["revoke_at"]


def test_a_rerun_tells_before_what_repeats_and_is_linked_to_its_origin(
    web_house: Web, house: House
) -> None:
    steps = {"a": VALUE, "b": {**BROKEN, "needs": ["a"]}, "c": {**VALUE, "needs": ["b"]}}
    workflow = house.publish("three", steps)
    origin = house.run(workflow, {"n": 0})
    program, path = web_house.program(), f"/api/executions/{origin}"
    wanted = {"from": "b", "version": "newest", "input": {"n": 2}}
    told = program.post(f"{path}/rerun/preview", json=wanted).json()
    assert (told["reused"], told["repeated"], told["fresh"]) == (["a"], [], ["b", "c"])
    key = {"Idempotency-Key": "k"}
    again = program.post(f"{path}/rerun", json=wanted, headers=key)
    assert again.status_code == 202
    assert program.post(f"{path}/rerun", json=wanted, headers=key).json() == again.json()
    other = {**wanted, "input": {"n": 3}}
    problem(program.post(f"{path}/rerun", json=other, headers=key), 409, "conflict")
    new = again.json()["execution_id"]
    house.plan(new)
    house.drain()
    found = program.get(f"/api/executions/{new}").json()
    assert (found["row"]["status"], found["row"]["trigger"]) == ("completed", "rerun")
    assert (found["origin"]["id"], found["origin"]["step"]) == (origin, "b")
    assert [one["id"] for one in program.get(path).json()["again"]] == [new]
    problem(program.post(f"{path}/rerun", json={"from": "x"}), 422, "invalid_query")
    problem(program.post(f"{path}/rerun", json={"version": "old"}), 422, "invalid_request")
    problem(program.post(f"/api/executions/{new}/rerun"), 409, "conflict")


def test_a_signal_goes_to_whoever_waits_and_a_stranger_reaches_nobody(
    web_house: Web, house: House
) -> None:
    wait = {
        "uses": "signal",
        "with": {
            "name": "paid",
            "correlation": "order-${{ input.n }}",
            "schema": {"type": "object", "required": ["sum"]},
            "deadline": "2d",
        },
    }
    execution = house.run(house.publish("pay", {"wait": wait}), {"n": 7})
    program, stranger = web_house.program(), web_house.program(web_house.stranger_id)
    found = program.get(f"/api/executions/{execution}").json()
    assert found["row"]["detail"] == "wait · waits for signal paid of order-7 for another 2 d"
    (step,) = found["steps"]
    waits = step["waits_for"]
    assert (waits["kind"], waits["signal"], waits["correlation"]) == ("signal", "paid", "order-7")
    assert waits["until_at"].endswith("Z")
    wanted = {"name": "paid", "correlation": "order-7", "body": {"sum": 3}}
    here = f"/api/executions/{execution}/signal"
    problem(stranger.post(here, json=wanted), 404, "not_found")
    assert stranger.post("/api/signals", json=wanted).json()["execution_id"] is None
    problem(program.post("/api/signals", json={**wanted, "body": {}}), 422, "invalid_input")
    early = program.post("/api/signals", json={**wanted, "correlation": "order-8"})
    assert (early.status_code, early.json()["execution_id"]) == (202, None)
    assert program.post("/api/signals", json=wanted).json()["execution_id"] == execution
    house.plan(execution)
    house.drain()
    found = program.get(f"/api/executions/{execution}").json()
    assert (found["row"]["status"], found["output"]) == ("completed", {"sum": 3})
    problem(program.post(here, json=wanted), 409, "conflict")


def test_a_signal_with_an_idempotency_key_may_be_sent_again(web_house: Web, house: House) -> None:
    wait = {"uses": "signal", "with": {"name": "paid"}}
    execution = house.run(house.publish("pay", {"wait": wait}))
    program, wanted = web_house.program(), {"name": "paid", "body": {"sum": 3}}
    for path in (f"/api/executions/{execution}/signal", "/api/signals"):
        key = {"Idempotency-Key": f"key of {path}"}
        sent = program.post(path, json=wanted, headers=key)
        assert sent.status_code == 202
        again = program.post(path, json=wanted, headers=key)
        assert (again.status_code, again.json()) == (202, sent.json())
        other = {**wanted, "body": {"sum": 4}}
        problem(program.post(path, json=other, headers=key), 409, "conflict")
    assert len(house.query("SELECT id FROM signals")) == 2
    long = {"Idempotency-Key": "k" * 129}
    problem(program.post("/api/signals", json=wanted, headers=long), 422, "invalid_request")


def test_an_owner_sees_and_takes_decisions_that_name_nobody(web_house: Web, house: House) -> None:
    execution = house.run(house.publish("pay", {"ask": ASK}), {"n": 7})
    program = web_house.program()
    (row,) = program.get("/api/approvals").json()["items"]
    assert (row["execution_id"], row["step"], row["title"]) == (execution, "ask", "Pay 7?")
    assert row["description"] == "It is overdue."
    assert (row["mine"], row["owner"], row["approvers"]) == (True, "ada", [])
    (step,) = program.get(f"/api/executions/{execution}").json()["steps"]
    assert step["waits_for"]["title"] == "Pay 7?"
    assert step["waits_for"]["form"]["properties"] == {"amount": {"type": "integer"}}
    path = f"/api/executions/{execution}/approvals/ask"
    assert program.get(path).json() == row
    wrong = {"approved": True, "values": {"amount": "much"}}
    problem(program.post(path, json=wrong), 422, "invalid_input")
    good = {"approved": True, "comment": "fine", "values": {"amount": 7}}
    assert program.post(path, json=good).status_code == 202
    problem(program.post(path, json=good), 409, "conflict")
    problem(program.get(path), 404, "not_found")
    problem(program.post(f"/api/executions/{execution}/approvals/x", json=good), 404, "not_found")
    assert program.get("/api/approvals").json()["items"] == []
    house.plan(execution)
    output = program.get(f"/api/executions/{execution}").json()["output"]
    assert (output["by"], output["values"], output["comment"]) == ("ada", {"amount": 7}, "fine")


def test_an_approval_with_a_large_form_is_whole_where_it_is_asked_for_alone(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    form = {"type": "object", "properties": {"place": {"enum": [f"p{n}" for n in range(50_000)]}}}
    step = {"uses": "approval", "with": {"title": "Where?", "form": form, "approvers": ["eve"]}}
    with web(sqlite_url, redis_url, ENGINE_HOME=str(tmp_path)) as opened:
        house = House(opened.database)
        house.owner_id = opened.owner_id
        execution = house.run(house.publish("ship", {"ask": step}))
        owner, eve = opened.program(), opened.program(opened.stranger_id)
        (row,) = eve.get("/api/approvals").json()["items"]
        assert (row["title"], row["form"], row["approvers"]) == ("Where?", {}, ["eve"])
        assert row["left_out"] > 256 * 1024
        (found,) = owner.get(f"/api/executions/{execution}").json()["steps"]
        assert found["waits_for"]["left_out"] == row["left_out"]
        assert found["waits_for"]["approvers"] == ["eve"]
        path = f"/api/executions/{execution}/approvals/ask"
        assert eve.get(path).json() == {**row, "form": form, "left_out": None}
        problem(owner.get(path), 404, "not_found")
        wrong = {"approved": True, "values": {"place": "nowhere"}}
        problem(eve.post(path, json=wrong), 422, "invalid_input")
        good = {"approved": True, "values": {"place": "p7"}}
        assert eve.post(path, json=good).status_code == 202


def test_an_approver_decides_exactly_what_names_them_and_sees_nothing_else(
    web_house: Web, house: House
) -> None:
    workflow = house.publish("pay", {"ask": ask("eve"), "other": ASK})
    execution = house.run(workflow, {"n": 7})
    owner, eve = web_house.program(), web_house.program(web_house.stranger_id)
    (row,) = eve.get("/api/approvals").json()["items"]
    assert (row["step"], row["mine"], row["owner"]) == ("ask", False, "ada")
    assert [row["step"] for row in owner.get("/api/approvals").json()["items"]] == ["other"]
    here, yes = f"/api/executions/{execution}", {"approved": True}
    assert eve.get(f"{here}/approvals/ask").status_code == 200
    for path in (here, f"{here}/steps/ask", f"{here}/logs", f"{here}/approvals/other"):
        problem(eve.get(path), 404, "not_found")
    for path in ("other", "nothing", "ask?item=0"):
        problem(eve.post(f"{here}/approvals/{path}", json=yes), 404, "not_found")
    problem(eve.post(f"{here}/cancel"), 404, "not_found")
    problem(owner.post(f"{here}/approvals/ask", json=yes), 403, "forbidden")
    assert eve.post(f"{here}/approvals/ask", json=yes).status_code == 202
    problem(eve.post(f"{here}/approvals/ask", json=yes), 409, "conflict")
    assert eve.get("/api/approvals").json()["items"] == []


def test_many_are_steered_by_the_lists_own_filter_after_a_count(
    web_house: Web, house: House
) -> None:
    broken = house.publish("broken", {"a": BROKEN})
    failed = [house.run(broken, {"n": 0}) for _ in range(3)]
    fine = house.run(broken, {"n": 1})
    program, stranger = web_house.program(), web_house.program(web_house.stranger_id)
    wanted = {"action": "retry", "filter": {"workflow": "broken"}, "dry_run": True}
    told = program.post("/api/executions/bulk", json=wanted).json()
    assert (told["matched"], told["done"]) == (3, [])
    assert stranger.post("/api/executions/bulk", json=wanted).json()["matched"] == 0
    wanted["dry_run"], key = False, {"Idempotency-Key": "night"}
    done = program.post("/api/executions/bulk", json=wanted, headers=key).json()
    assert sorted(one["id"] for one in done["done"]) == failed
    again = program.post("/api/executions/bulk", json=wanted, headers=key).json()
    assert again["done"] == done["done"]
    mixed = {"action": "cancel", "ids": [done["done"][0]["execution_id"], fine, "nothing"]}
    told = program.post("/api/executions/bulk", json=mixed).json()
    assert [one["id"] for one in told["done"]] == mixed["ids"][:1]
    assert [one["code"] for one in told["refused"]] == ["conflict", "not_found"]
    none = {"action": "resume", "filter": {"status": ["failed"]}}
    assert program.post("/api/executions/bulk", json=none).json()["matched"] == 0
    theirs = stranger.post("/api/executions/bulk", json={"action": "retry", "ids": failed}).json()
    assert {one["code"] for one in theirs["refused"]} == {"not_found"}


@pytest.mark.parametrize(
    "body",
    [
        {"action": "cancel"},
        {"action": "cancel", "ids": ["a"], "filter": {}},
        {"action": "delete", "filter": {}},
        {"action": "cancel", "ids": []},
        {"action": "cancel", "filter": {"status": ["gone"]}},
    ],
)
def test_a_bulk_that_is_not_clear_does_nothing(web_house: Web, body: dict[str, Any]) -> None:
    answer = web_house.program().post("/api/executions/bulk", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_parent_shows_its_children_and_a_child_its_parent(web_house: Web, house: House) -> None:
    house.publish("inner", {"ask": ASK})
    call = {"uses": "workflow", "with": {"workflow": "inner", "input": {"n": 1}}}
    outer = house.publish("outer", {"call": call})
    execution = house.run(outer)
    program = web_house.program()
    found = program.get(f"/api/executions/{execution}").json()
    (child,) = found["children"]
    assert (child["workflow"], child["step"], found["children_total"]) == ("inner", "call", 1)
    waits = found["steps"][0]["waits_for"]
    assert (waits["kind"], waits["child_id"]) == ("workflow", child["id"])
    assert found["row"]["detail"] == "call · waits for its child"
    inner = program.get(f"/api/executions/{child['id']}").json()
    assert (inner["parent"]["id"], inner["parent"]["step"]) == (execution, "call")
    assert inner["row"]["parent_id"] == execution


def test_a_body_that_is_not_json_is_told_line_and_column(web_house: Web) -> None:
    headers = {"Content-Type": "application/json"}
    text = '{\n  "name": paid\n}'
    body = problem(
        web_house.program().post("/api/signals", content=text, headers=headers),
        422,
        "invalid_request",
    )
    expected = "the body is not JSON: line 2, column 11: a value was expected, found 'p'"
    assert body["detail"] == expected
