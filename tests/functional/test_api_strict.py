"""What no route takes, whatever it is for: tried on each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from engine_app.api import routes
from tests.support import rows
from tests.support.web import ORIGIN, Web, problem, web

JSON = {"Content-Type": "application/json"}
BEYOND = (2**63, -(2**63) - 1, 10**30, int("9" * 4000))
# A body that each address takes, with a value for each of its fields.
BODIES: dict[str, dict[str, Any]] = {
    "/workflows/{workflow}/execute": {"input": {"n": 1}, "version": 1, "delay": 60},
    "/executions/stranded/move": {"workflow": "pipeline", "version": 1, "dry_run": True},
    "/executions/stranded/cancel": {"workflow": "pipeline", "version": 1, "dry_run": True},
    "/executions/bulk": {
        "action": "pause",
        "filter": {
            "workflow": "pipeline",
            "status": ["running"],
            "trigger": ["api"],
            "text": "x",
            "since": "2026-01-01",
            "until": "2026-01-02",
        },
        "cursor": "0000000000000",
        "note": "x",
        "dry_run": True,
    },
    "/executions/{execution_id}/cancel": {"note": "x"},
    "/executions/{execution_id}/pause": {"note": "x"},
    "/executions/{execution_id}/rerun": {"from": "fetch", "version": 1, "input": {"n": 1}},
    "/executions/{execution_id}/rerun/preview": {"from": "fetch", "version": 1, "input": {"n": 1}},
    "/executions/{execution_id}/signal": {"name": "x", "correlation": "x", "body": {"n": 1}},
    "/signals": {"name": "x", "correlation": "x", "body": {"n": 1}},
    "/executions/{execution_id}/approvals/{step}": {
        "approved": True,
        "comment": "x",
        "values": {"n": 1},
    },
    "/schedules": {
        "workflow": "pipeline",
        "name": "x",
        "cron": "@daily",
        "zone": "UTC",
        "input": {"n": 1},
        "version": 1,
        "missed": "latest",
        "missed_cap": 1,
    },
    "/tokens": {"name": "x"},
}
FREE = ("input", "body", "values")  # what a workflow's own schema checks, not the route


@pytest.fixture
def house(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Web]:
    """The API, on SQLite unless a test says ``on_both``: what one takes the other may not."""
    kind = getattr(request, "param", "sqlite")
    with web(request.getfixturevalue(f"{kind}_url"), redis_url) as opened:
        yield opened


on_both = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def execution(house: Web) -> str:
    workflow = rows.workflow(house.database, house.owner_id)
    ended = {"status": "completed"}  # its stream of events ends at once
    found = rows.execution(house.database, house.owner_id, workflow, **ended)
    rows.run(house.database, found, 0, "completed")
    return found


def addresses() -> Iterator[tuple[str, APIRoute]]:
    """Yield every method and route."""
    for route in routes():
        for method in sorted(route.methods or ()):
            yield method, route


def filled(path: str, execution: str) -> str:
    """Return the path with what is there, where something is."""
    known = {"execution_id": execution, "workflow": "pipeline", "step": "fetch", "kind": "output"}
    return "/api" + re.sub(r"{(\w+)}", lambda name: known.get(name[1], "x"), path)


def refused(answer: Any, *statuses: int) -> None:
    """Check that it is a refusal with a reason, in the one form."""
    assert answer.status_code in statuses, (answer.request.url, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def faults(body: dict[str, Any]) -> list[dict[str, str]]:
    return list(body["errors"])


def caller(house: Web) -> TestClient:
    """Return the owner's browser: it may do all that anybody may."""
    return house.browser()


# --- addresses


@on_both
def test_nul_in_a_path_is_not_found(house: Web, execution: str) -> None:
    someone = caller(house)
    for method, route in addresses():
        if "{" in route.path:
            path = "/api" + re.sub(r"{\w+}", "a%00b", route.path)
            refused(someone.request(method, path), 404)
            path = filled(route.path, execution) + "%00"
            refused(someone.request(method, path), 404)
    refused(house.nobody().get("/x%00"), 404)
    refused(house.nobody().get("/%00"), 404)
    refused(house.nobody().get("/api/%00"), 404)


def test_a_parameter_that_no_one_knows_is_refused_on_every_route(
    house: Web, execution: str
) -> None:
    someone = caller(house)
    for method, route in addresses():
        path = filled(route.path, execution)
        for query in ("statuss=failed", "%00=1", "=", "limit%00=1"):
            answer = someone.request(method, f"{path}?{query}")
            refused(answer, 422)
            assert answer.json()["code"] == "invalid_query"


def test_a_misspelt_parameter_is_named_with_those_that_there_are(house: Web) -> None:
    body = problem(caller(house).get("/api/executions?statuss=failed"), 422, "invalid_query")
    (fault,) = faults(body)
    assert fault["path"] == "query.statuss"
    assert "status" in fault["hint"]


@on_both
def test_nul_in_any_parameter_is_refused(house: Web, execution: str) -> None:
    someone = caller(house)
    for method, route in addresses():
        path = filled(route.path, execution)
        for parameter in route.dependant.query_params:
            for text in ("%00", "a%00b"):
                refused(someone.request(method, f"{path}?{parameter.alias}={text}"), 422)
        for parameter in route.dependant.header_params:
            for value in ("\0", "a\0b"):
                refused(someone.request(method, path, headers={parameter.alias: value}), 422)


@on_both
def test_an_integer_beyond_64_bits_is_refused_as_any_parameter(house: Web, execution: str) -> None:
    someone, tried = caller(house), 0
    for method, route in addresses():
        path = filled(route.path, execution)
        for parameter in route.dependant.query_params:
            if "int" not in str(parameter.field_info.annotation) and parameter.alias != "cursor":
                continue
            for number in (*BEYOND, "9" * 5000, "٣" * 20):
                tried += 1
                refused(someone.request(method, f"{path}?{parameter.alias}={number}"), 422)
    assert tried > 50
    last = "/executions/{execution_id}/events"
    for number in BEYOND:
        sent = {"Last-Event-ID": str(number)}
        refused(someone.get(filled(last, execution), headers=sent), 422)


def test_a_parameter_that_takes_one_value_is_not_given_two(house: Web, execution: str) -> None:
    someone = caller(house)
    refused(someone.get("/api/executions?limit=1&limit=2"), 422)
    refused(someone.get("/api/executions?text=a&text=a"), 422)
    assert someone.get("/api/executions?status=failed&status=running").status_code == 200


@on_both
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-12:00"])
def test_the_first_and_the_last_time_are_times(house: Web, time: str) -> None:
    assert caller(house).get(f"/api/executions?since={time}&until={time}").status_code == 200


# --- bodies


def test_every_body_is_known_to_these_tests() -> None:
    assert {route.path for route in routes() if route.body_field and "login" not in route.path} == {
        *BODIES
    }


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list):
        yield from leaves(value[0], (*path, 0))
    else:
        yield path, value


def changed(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(body))
    at = copy
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return copy  # type: ignore[no-any-return]


def mutants(body: dict[str, Any]) -> Iterator[str]:
    """Yield bodies of which none may be taken."""
    text = json.dumps(body)
    for path, value in leaves(body):
        for other in ("\0", "a\0b", "a\ud800", *BEYOND):
            yield json.dumps(changed(body, path, other))
        if path[0] not in FREE and path != ("version",):
            yield json.dumps(changed(body, path, [value]))
            yield json.dumps(changed(body, path, {}))
        if path[0] not in FREE and isinstance(value, bool):
            yield from (json.dumps(changed(body, path, other)) for other in (1, 0, "true", "yes"))
        elif path[0] not in FREE and isinstance(value, int):
            yield from (json.dumps(changed(body, path, other)) for other in (True, str(value)))
        elif path[0] not in FREE:
            yield from (json.dumps(changed(body, path, other)) for other in (True, 7))
        key = json.dumps(path[-1])
        if isinstance(path[-1], str):
            yield text.replace(f"{key}:", f"{key}: 0, {key}:", 1)
    yield json.dumps(body | {"a\0b": 1})
    yield json.dumps(body | {"unknown": 1})
    yield from (text[:-1], text + "x", text.replace('"', "'"), "[]", "7", '"x"', "NaN", "{" * 9)
    yield "[" * 9_000
    yield '{"note": 1e999}'


@on_both
def test_what_json_or_its_types_do_not_allow_is_refused_in_every_body(
    house: Web, execution: str
) -> None:
    someone = caller(house)
    for path, body in BODIES.items():
        where = filled(path, execution)
        for mutant in mutants(body):
            answer = someone.post(
                where, content=mutant.encode(errors="surrogatepass"), headers=JSON
            )
            assert answer.status_code == 422, (path, mutant[:300], answer.text)
            refused(answer, 422)


def test_bytes_that_are_no_utf_8_are_refused_in_every_body(house: Web, execution: str) -> None:
    someone = caller(house)
    for path in BODIES:
        for body in (b"\xff\xfe", b'{"note": "\xff"}', b"\xef\xbb\xbf{}"):
            refused(someone.post(filled(path, execution), content=body, headers=JSON), 422)


def test_a_doubled_key_is_named_with_its_path(house: Web) -> None:
    for content, path in (
        ('{"note": "a", "note": "b"}', "note"),
        ('{"input": {"a": [{"k": 1, "k": 1}]}}', "input.a[0].k"),
    ):
        where = "/api/executions/x/cancel"
        body = problem(
            caller(house).post(where, content=content, headers=JSON), 422, "invalid_request"
        )
        (fault,) = faults(body)
        assert fault["path"] == f"body.{path}"
        assert "stands twice" in fault["problem"]


def test_a_body_that_is_not_called_json_is_refused_and_says_how_to(
    house: Web, execution: str
) -> None:
    someone = caller(house)
    for path, body in BODIES.items():
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "nonsense"):
            headers = {} if kind is None else {"Content-Type": kind}
            answer = someone.post(
                filled(path, execution), content=json.dumps(body).encode(), headers=headers
            )
            body_ = problem(answer, 415, "unsupported_media_type")
            assert "Content-Type: application/json" in str(body_["hint"])


def test_an_address_that_takes_no_body_bears_an_empty_one(house: Web, execution: str) -> None:
    for method, route in addresses():
        if not takes_body(route):
            path = filled(route.path, execution)
            for body in ("", "{}", " { } ", "null"):
                answer = caller(house).request(method, path, content=body)  # one signs out
                assert answer.status_code not in (400, 413, 415, 422), (method, path, answer.text)


def test_an_address_that_takes_no_body_refuses_one_with_something_in_it(
    house: Web, execution: str
) -> None:
    someone = caller(house)
    for method, route in addresses():
        if not takes_body(route):
            for body in ('{"note": "x"}', "[]", "x", "7", "{", "\0"):
                answer = someone.request(method, filled(route.path, execution), content=body)
                refused(answer, 422)


def takes_body(route: APIRoute) -> bool:
    return route.body_field is not None or bool(route.openapi_extra)


@on_both
def test_nul_in_a_form_is_refused(house: Web) -> None:
    nobody = house.nobody()
    for form in (
        {"name": "a\0b", "password": "x" * 12},
        {"name": "ada", "password": "a\0b"},
        {"name": "ada", "password": "x" * 12, "next": "/a\0b"},
        {"name": ["ada", "eve"], "password": "x" * 12},
    ):
        refused(nobody.post("/api/login", data=form, headers={"Origin": ORIGIN}), 422)


def test_a_form_that_cannot_be_read_is_refused_with_the_reason(house: Web) -> None:
    sent = {"Origin": ORIGIN, "Content-Type": "multipart/form-data"}
    answer = house.nobody().post("/api/login", content=b"x", headers=sent)
    refused(answer, 400)
    assert "boundary" in answer.json()["detail"]
    file = {"name": ("a.txt", b"ada"), "password": (None, "x" * 12)}
    refused(house.nobody().post("/api/login", files=file, headers={"Origin": ORIGIN}), 422)


def test_a_document_with_a_doubled_key_is_refused(house: Web) -> None:
    document = '{"name": "a", "name": "b", "steps": {}}'
    problem(caller(house).post("/api/workflows", content=document), 422, "invalid_document")


# --- methods


def test_head_is_get_without_a_body_on_every_route(house: Web, execution: str) -> None:
    someone = caller(house)
    for method, route in addresses():
        if method == "GET" and not route.path.endswith("/events"):
            path = filled(route.path, execution)
            asked, told = someone.get(path), someone.head(path)
            assert told.status_code == asked.status_code, path
            assert told.content == b""
            assert told.headers["content-type"] == asked.headers["content-type"]


def test_head_of_a_stream_ends_at_once(house: Web) -> None:
    workflow = rows.workflow(house.database, house.owner_id)
    running = rows.execution(house.database, house.owner_id, workflow)
    path = filled("/executions/{execution_id}/events", running)
    told = caller(house).head(path)
    assert told.status_code == 200
    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.content == b""


def test_options_and_a_wrong_method_name_all_that_are_possible(house: Web, execution: str) -> None:
    someone = caller(house)
    possible: dict[str, set[str]] = {}
    for method, route in addresses():
        more = {"HEAD"} if method == "GET" else set()
        possible.setdefault(route.path, {"OPTIONS"}).update({method}, more)
    for path, methods in possible.items():
        where = filled(path, execution)
        told = someone.options(where)
        assert told.status_code == 204, path
        assert set(told.headers["allow"].split(", ")) >= methods
        wrong = someone.request("PATCH", where)
        problem(wrong, 405, "method_not_allowed")
        assert wrong.headers["allow"] == told.headers["allow"]
    problem(someone.options("/api/nothing"), 404, "not_found")


# --- what is not there


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api//executions", "/api/x/"])
def test_under_api_nothing_is_told_but_as_a_problem(house: Web, path: str) -> None:
    for someone in (caller(house), house.nobody()):
        for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS"):
            answer = someone.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (
                404,
                "application/problem+json",
            )
