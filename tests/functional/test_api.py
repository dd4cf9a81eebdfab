"""The API as programs use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from engine.codec import encode
from engine.io.payloads import Payloads
from engine.store.tables import Artifact, DeadLetter, Execution, LogLine, Worker
from tests.support import rows
from tests.support.rows import NOW
from tests.support.web import Web, problem, web

DOCUMENT = {
    "name": "double",
    "input": {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "integer"}},
        "additionalProperties": False,
    },
    "steps": {"twice": {"uses": "transform", "with": {"value": "${{ input.n * 2 }}"}}},
}


@pytest.fixture
def house(sqlite_url: str, redis_url: str) -> Iterator[Web]:
    with web(sqlite_url, redis_url) as opened:
        yield opened


@pytest.fixture
def workflow(house: Web) -> str:
    return rows.workflow(house.database, house.owner_id, DOCUMENT)


def test_executing_is_accepted_with_ids_and_a_place_to_look(house: Web, workflow: str) -> None:
    program = house.program()
    answer = program.post("/api/workflows/double/execute", json={"input": {"n": 2}})
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["location"] == f"/api/executions/{body['execution_id']}"
    assert body["message_id"]
    found = program.get(answer.headers["location"]).json()
    assert found["row"]["status"] == "pending"
    assert found["row"]["workflow"] == "double"
    assert found["row"]["trigger"] == "api"
    assert found["row"]["trigger_detail"] == "token test"
    assert found["row"]["created_at"].endswith("Z")
    assert found["input"] == {"n": 2}
    assert [step["name"] for step in found["steps"]] == ["twice"]
    by_id = program.post(f"/api/workflows/{workflow}/execute", json={"input": {"n": 2}})
    assert by_id.status_code == 202
    by_page = house.browser().post("/api/workflows/double/execute", json={"input": {"n": 2}})
    page = program.get(by_page.headers["location"]).json()
    assert page["row"]["trigger"] == "manual"


def test_an_input_the_schema_refuses_names_every_fault(house: Web, workflow: str) -> None:
    wrong = {"input": {"m": 1, "n": "x"}}
    body = problem(
        house.program().post("/api/workflows/double/execute", json=wrong), 422, "invalid_input"
    )
    assert len(body["errors"]) == 2  # type: ignore[arg-type]
    problem(house.program().post("/api/workflows/nothing/execute", json={}), 404, "not_found")
    surplus = {"inputs": {"n": 1}}
    answer = house.program().post("/api/workflows/double/execute", json=surplus)
    problem(answer, 422, "invalid_request")
    old = {"input": {"n": 1}, "version": 7}
    problem(house.program().post("/api/workflows/double/execute", json=old), 404, "not_found")


@pytest.mark.parametrize("body", ['{"input": {"n": NaN}}', '{"input":' + "[" * 100_000])
def test_what_json_does_not_allow_is_refused(house: Web, workflow: str, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = house.program().post("/api/workflows/double/execute", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_same_key_gives_the_same_execution_and_another_body_a_conflict(
    house: Web, workflow: str
) -> None:
    program = house.program()
    path, key = "/api/workflows/double/execute", {"Idempotency-Key": "k1"}
    first = program.post(path, json={"input": {"n": 1}}, headers=key).json()
    again = program.post(path, json={"input": {"n": 1}}, headers=key).json()
    assert again == first
    other = program.post(path, json={"input": {"n": 2}}, headers=key)
    problem(other, 409, "conflict")
    assert len(program.get("/api/executions").json()["items"]) == 1


def test_the_list_pages_and_filters(house: Web, workflow: str) -> None:
    program = house.program()
    for n in range(3):
        program.post("/api/workflows/double/execute", json={"input": {"n": n}})
    first = program.get("/api/executions?limit=2").json()
    rest = program.get(f"/api/executions?limit=2&cursor={first['next_cursor']}").json()
    ids = [row["id"] for row in first["items"] + rest["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3
    assert rest["next_cursor"] is None
    assert program.get("/api/executions?offset=2").json()["items"] == rest["items"]
    assert program.get("/api/executions?status=failed&status=running").json()["items"] == []
    assert len(program.get("/api/executions?workflow=double&status=pending").json()["items"]) == 3
    assert "input" not in first["items"][0]
    assert program.get("/api/executions/counts").json()["pending"] == 3


def test_cancelling_ends_it_and_a_retry_is_a_new_execution(house: Web, workflow: str) -> None:
    program = house.program()
    started = program.post("/api/workflows/double/execute", json={"input": {"n": 1}}).json()
    path = f"/api/executions/{started['execution_id']}"
    problem(program.post(f"{path}/retry"), 409, "conflict")
    answer = program.post(f"{path}/cancel", json={"note": "wrong file"})
    assert answer.status_code == 202
    row = program.get(path).json()["row"]
    assert (row["status"], row["detail"]) == ("cancelled", "cancelled: wrong file")
    problem(program.post(f"{path}/cancel"), 409, "conflict")
    again = program.post(f"{path}/retry")
    assert again.status_code == 202
    assert again.json()["execution_id"] != started["execution_id"]
    assert program.get(again.headers["location"]).json()["row"]["origin_id"] == row["id"]


def test_workflows_are_created_versioned_and_validated(house: Web) -> None:
    program = house.program()
    made = program.post("/api/workflows", json=DOCUMENT)
    assert (made.status_code, made.json()["version"]) == (201, 1)
    same = program.post("/api/workflows", json=DOCUMENT)
    assert (same.status_code, same.json()["created"]) == (200, False)
    path = made.headers["location"]
    yaml = "name: double\ntitle: Twice\nsteps:\n  twice: {uses: transform, with: {value: 1}}\n"
    second = program.post(
        f"{path}/versions", content=yaml, headers={"Content-Type": "application/yaml"}
    )
    assert (second.status_code, second.json()["version"]) == (201, 2)
    found = program.get(path).json()
    assert (found["version"], found["row"]["title"]) == (2, "Twice")
    assert program.get(f"{path}?version=1").json()["document"]["name"] == "double"
    numbers = [
        row["number"] for row in program.get("/api/workflows/double/versions").json()["items"]
    ]
    assert numbers == [2, 1]
    listed = program.get("/api/workflows").json()["items"]
    assert [(row["name"], row["latest_version"]) for row in listed] == [("double", 2)]


def test_every_fault_of_a_document_is_named_and_nothing_is_kept(house: Web) -> None:
    program = house.program()
    broken = {"name": "Broken!", "steps": {"a": {"uses": "nothing"}, "b": {"needs": ["c"]}}}
    body = problem(program.post("/api/workflows/validate", json=broken), 422, "invalid_document")
    assert len(body["errors"]) >= 3  # type: ignore[arg-type]
    problem(program.post("/api/workflows", json=broken), 422, "invalid_document")
    assert program.get("/api/workflows").json()["items"] == []
    good = program.post("/api/workflows/validate", json=DOCUMENT).json()
    assert good["steps"] == ["twice"]
    problem(program.post("/api/workflows", content=b"\xff\xfe"), 422, "invalid_document")


def test_a_document_over_a_limit_is_refused_by_its_name(house: Web) -> None:
    program = house.program()
    yaml, as_json = ({"Content-Type": f"application/{kind}"} for kind in ("yaml", "json"))
    doubled = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
    costly = program.post("/api/workflows/validate", content="a0: &a0 1\n" + doubled, headers=yaml)
    body = problem(costly, 422, "invalid_document")
    assert "the document has over 250,000 values" in str(body["detail"])
    digits = program.post("/api/workflows", content=f'{{"name": {"1" * 5_000}}}', headers=as_json)
    body = problem(digits, 422, "invalid_document")
    assert "name is an integer beyond 64 bits" in str(body["errors"])
    number = f'{{"input": {{"n": {"1" * 5_000}}}}}'
    sent = program.post("/api/workflows/pipeline/execute", content=number, headers=as_json)
    assert "line 1, column 17: a number has too many digits" in str(sent.json())
    assert sent.status_code in (400, 422)


def test_schedules_are_made_paused_resumed_and_deleted(house: Web, workflow: str) -> None:
    program = house.program()
    wanted = {
        "workflow": "double",
        "name": "nightly",
        "cron": "0 3 * * *",
        "zone": "Europe/Berlin",
        "input": {"n": 1},
    }
    made = program.post("/api/schedules", json=wanted)
    assert made.status_code == 201
    path = f"/api/schedules/{made.json()['id']}"
    assert made.json()["next_at"].endswith("Z")
    assert program.post(f"{path}/pause").json()["next_at"] is None
    assert program.post(f"{path}/resume").json()["paused_at"] is None
    assert program.get("/api/schedules").json()["items"][0]["name"] == "nightly"
    assert program.delete(path).status_code == 204
    problem(program.get(path), 404, "not_found")
    problem(program.post("/api/schedules", json={**wanted, "cron": "x"}), 422, "invalid_input")
    problem(program.post("/api/schedules", json={**wanted, "input": {}}), 422, "invalid_input")


def kept(house: Web, workflow: str) -> dict[str, str]:
    """Insert one of everything that belongs to the owner and return the paths to it."""
    execution = rows.execution(house.database, house.owner_id, workflow, status="failed")
    rows.run(house.database, execution, 0, "failed", input='{"value":1}')
    letter = {
        "id": "00000000000d1",
        "owner_id": house.owner_id,
        "execution_id": execution,
        "queue": "dispatch",
        "actor": "dispatch",
        "message": "{}",
        "reason": "dispatch_failed",
        "created_at": NOW,
    }
    artifact = {
        "id": "00000000000a1",
        "execution_id": execution,
        "step": 0,
        "item": -1,
        "attempt": 1,
        "name": 'a"\r\n/chart.svg',
        "media_type": "image/svg+xml",
        "size": 6,
        "body": "PHN2Zy8+",
        "created_at": NOW,
    }
    line = {"execution_id": execution, "seq": 1, "step": 0, "item": -1, "attempt": 1, "at": NOW}
    house.database.write(lambda c: c.execute(insert(DeadLetter), letter))
    house.database.write(lambda c: c.execute(insert(Artifact), artifact))
    house.database.write(
        lambda c: c.execute(insert(LogLine), {**line, "level": "info", "message": "hello"})
    )
    schedule = {"workflow": workflow, "name": "x", "cron": "@daily", "input": {"n": 1}}
    made = house.program().post("/api/schedules", json=schedule).json()
    here = f"/api/executions/{execution}"
    return {
        here: "GET",
        f"{here}/events": "GET",
        f"{here}/logs": "GET",
        f"{here}/logs/text": "GET",
        f"{here}/record": "GET",
        f"{here}/artifacts": "GET",
        f"{here}/artifacts/00000000000a1": "GET",
        f"{here}/steps/twice": "GET",
        f"{here}/steps/twice/items": "GET",
        f"{here}/steps/twice/values/input": "GET",
        f"{here}/approvals/twice": "GET",
        f"{here}/cancel": "POST",
        f"{here}/pause": "POST",
        f"{here}/resume": "POST",
        f"{here}/rerun/preview": "POST",
        f"{here}/rerun": "POST",
        f"{here}/retry": "POST",
        f"/api/workflows/{workflow}": "GET",
        f"/api/workflows/{workflow}/versions": "GET",
        f"/api/workflows/{workflow}/execute": "POST",
        f"/api/schedules/{made['id']}": "GET",
        f"/api/schedules/{made['id']}/pause": "POST",
        f"/api/schedules/{made['id']}/resume": "POST",
        "/api/dead-letters/00000000000d1/replay": "POST",
    }


def test_a_strangers_ids_are_answered_as_if_they_were_not_there(house: Web, workflow: str) -> None:
    paths = kept(house, workflow)
    stranger, owner = house.program(house.stranger_id), house.program()
    for path, method in paths.items():
        problem(stranger.request(method, path), 404, "not_found")
    for path in ("executions", "workflows", "schedules", "dead-letters", "tokens"):
        items = stranger.get(f"/api/{path}").json()["items"]
        assert [row for row in items if row.get("name") != "test"] == []
    for path, method in paths.items():
        if "/approvals/" not in path:  # none waits there
            assert owner.request(method, path).status_code != 404, path


def test_a_shared_workflow_is_run_by_all_and_its_executions_stay_private(house: Web) -> None:
    rows.workflow(house.database, house.owner_id, DOCUMENT, shared=True)
    stranger = house.program(house.stranger_id)
    started = stranger.post("/api/workflows/double/execute", json={"input": {"n": 1}})
    assert started.status_code == 202
    problem(house.program().get(started.headers["location"]), 404, "not_found")
    new = {**DOCUMENT, "title": "mine now"}
    theirs = stranger.get("/api/workflows/double").json()["row"]["id"]
    problem(stranger.post(f"/api/workflows/{theirs}/versions", json=new), 404, "not_found")


def test_an_artifact_is_a_download_that_runs_nothing(house: Web, workflow: str) -> None:
    path = next(path for path in kept(house, workflow) if "/artifacts/" in path)
    answer = house.program().get(path)
    assert answer.content == b"<svg/>"
    assert answer.headers["content-type"] == "image/svg+xml"
    disposition = answer.headers["content-disposition"]
    plain, _, whole = disposition.partition("; filename*=UTF-8''")
    assert plain == 'attachment; filename="a____chart.svg"'
    assert whole == "a%22%0D%0A%2Fchart.svg"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_page_of_html_is_plain_bytes_to_a_browser(house: Web, workflow: str) -> None:
    path = next(path for path in kept(house, workflow) if "/artifacts/" in path)
    house.database.write(lambda c: c.execute(update(Artifact).values(media_type="text/html")))
    answer = house.program().get(path)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_large_output_is_a_link_in_the_answer_and_whole_behind_it(
    house: Web, workflow: str, tmp_path: Path
) -> None:
    house.database.payloads = Payloads(str(tmp_path / "payloads"), inline=1_024)
    run = rows.execution(house.database, house.owner_id, workflow, status="completed")
    text = encode("x" * 5_000)
    column = house.database.payloads.keep(text, f"{run}/output", "it")
    rows.run(house.database, run, 0, "completed", output=column)
    house.database.write(lambda c: c.execute(update(Execution).values(output=column)))
    owner, stranger = house.program(), house.program(house.stranger_id)
    for path in (f"/api/executions/{run}", f"/api/executions/{run}/steps/twice"):
        answer = owner.get(path).json()
        assert answer["output"] is None
        told = answer["large"]["output"]
        assert (told["size"], told["preview"]) == (5_002, text[:1_000])
        whole = owner.get(told["download"])
        assert (whole.status_code, whole.text) == (200, text)
        assert whole.headers["content-type"] == "application/json"
        assert whole.headers["content-disposition"].startswith("attachment")
        problem(stranger.get(told["download"]), 404, "not_found")
    house.database.payloads.remove(run)
    lost = problem(owner.get(f"/api/executions/{run}/output"), 500, "payload_lost")
    assert str(lost["detail"]).startswith(f"the output of execution {run}: object")


def test_logs_go_on_after_a_number(house: Web, workflow: str) -> None:
    path = next(path for path in kept(house, workflow) if path.endswith("/logs"))
    program = house.program()
    (line,) = program.get(path).json()["items"]
    assert (line["seq"], line["step"], line["message"]) == (1, "twice", "hello")
    assert program.get(f"{path}?after=1").json()["items"] == []


def test_a_schedule_that_cannot_start_says_why_and_is_counted(house: Web, workflow: str) -> None:
    program = house.program()
    wanted = {"workflow": workflow, "name": "x", "cron": "@daily", "input": {"n": 1}}
    made = program.post("/api/schedules", json=wanted).json()
    assert (made["problem"], made["problem_at"], made["skipped"]) == (None, None, None)
    skipped = encode({"count": 3, "first": 0, "last": 60_000_000, "at": 90_000_000})
    house.database.write(
        lambda connection: connection.execute(
            text("UPDATE schedules SET problem = 'no', problem_at = 0, skipped = :skipped"),
            {"skipped": skipped},
        )
    )
    shown = program.get(f"/api/schedules/{made['id']}").json()
    assert (shown["problem"], shown["problem_at"]) == ("no", "1970-01-01T00:00:00.000000Z")
    assert shown["skipped"] == {
        "count": 3,
        "first_at": "1970-01-01T00:00:00.000000Z",
        "last_at": "1970-01-01T00:01:00.000000Z",
        "at": "1970-01-01T00:01:30.000000Z",
    }
    ready = house.nobody().get("/api/ready").json()
    assert (ready["schedules_held_up"], ready["executions_left_alone"]) == (1, 0)


def test_ready_once_a_worker_lives(house: Web) -> None:
    nobody = house.nobody()
    before = nobody.get("/api/ready")
    assert before.status_code == 503
    assert before.json()["parts"] == {
        "database": "ok",
        "redis": "ok",
        "workers": "none is alive",
        "disk": "ok",
    }
    now = house.database.now()
    worker: dict[str, Any] = {
        "id": "w",
        "host": "here",
        "pid": 1,
        "queues": '["steps"]',
        "threads": 8,
        "functions": "[]",
        "started_at": now,
        "beat_at": now,
    }
    house.database.write(lambda c: c.execute(insert(Worker), worker))
    assert nobody.get("/api/ready").status_code == 200
    (listed,) = house.program().get("/api/workers").json()["items"]
    assert (listed["alive"], listed["queues"]) == (True, ["steps"])
    queues = house.program().get("/api/queues").json()["items"]
    assert {row["queue"] for row in queues} == {"dispatch", "steps", "steps.long"}
