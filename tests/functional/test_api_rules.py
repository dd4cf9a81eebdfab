"""What holds for every route: who may call it, how it refuses, what a browser may do with it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount
from starlette.testclient import TestClient

from engine.store.db import sqlite
from engine.store.writes import users
from engine_app.api import login
from engine_app.api import routes as api_routes
from engine_app.api.guard import is_open
from engine_app.api.strict import Strict
from engine_app.auth import secrets
from engine_app.auth.links import create_link
from engine_app.auth.viewer import COOKIE
from tests.support.web import ORIGIN, Web, problem, web

OPEN = {
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/{name}"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/login/link/{secret}"),
    ("POST", "/login/link/{secret}"),
}
CONNECTIONS = 16  # that a server has for reading
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
def house(sqlite_url: str, redis_url: str) -> Iterator[Web]:
    with web(sqlite_url, redis_url) as opened:
        yield opened


def inner(house: Web) -> FastAPI:
    (mount,) = [route for route in house.app.routes if isinstance(route, Mount)]
    assert isinstance(mount.app, FastAPI)
    return mount.app


def routes(house: Web) -> list[APIRoute]:
    found = []
    for route in walk(inner(house)):
        assert isinstance(route, APIRoute), f"{route} has no rule"
        found.append(route)
    return found


def walk(app: FastAPI) -> list[object]:
    """Return the routes of the app and of what is included in it."""
    todo: list[object] = list(app.routes)
    found: list[object] = []
    while todo:
        route = todo.pop()
        included = getattr(route, "original_router", None) or getattr(route, "router", None)
        if included is not None and not isinstance(route, APIRoute):
            todo += included.routes
        else:
            found.append(route)
    return found


def methods(route: APIRoute) -> set[str]:
    return set(route.methods or ())


def test_every_route_has_the_rule_and_only_the_named_ones_are_open(house: Web) -> None:
    found = routes(house)
    assert len(found) > 30
    opened = {
        (method, route.path)
        for route in found
        if is_open(route.endpoint)
        for method in methods(route)
    }
    assert opened == OPEN
    # Each asks the guard, whatever it is for
    assert all(isinstance(route, Strict) for route in found)


def test_every_other_route_refuses_those_who_are_not_signed_in(house: Web) -> None:
    nobody, forged = house.nobody(), house.nobody()
    forged.headers["Authorization"] = "Bearer ee_" + "x" * 43
    for route in routes(house):
        for method in methods(route) - {"HEAD"}:
            if (method, route.path) in OPEN:
                continue
            path = "/api" + route.path.replace("{", "").replace("}", "")
            for caller in (nobody, forged):
                problem(caller.request(method, path), 401, "unauthenticated")


def test_every_change_by_cookie_must_come_from_our_own_pages(house: Web) -> None:
    browser = house.browser()
    for route in routes(house):
        for method in methods(route) & UNSAFE:
            path = "/api" + route.path.replace("{", "").replace("}", "")
            for origin in ("https://evil.example", "null"):
                answer = browser.request(method, path, headers={"Origin": origin})
                if (method, route.path) == ("POST", "/login"):
                    assert answer.status_code == 422  # no form: nothing is done either
                else:
                    problem(answer, 403, "forbidden")


def test_nothing_is_read_by_cookie_from_anothers_page(house: Web) -> None:
    browser, program = house.browser(), house.program()
    for origin in ("http://localhost:3000", "https://evil.example", "null"):
        problem(browser.get("/api/tokens", headers={"Origin": origin}), 403, "forbidden")
        assert program.get("/api/tokens", headers={"Origin": origin}).status_code == 200
    assert browser.get("/api/tokens", headers={"Origin": ORIGIN}).status_code == 200
    del browser.headers["Origin"]
    assert browser.get("/api/tokens").status_code == 200


def test_an_unknown_path_method_or_form_is_a_problem(house: Web) -> None:
    program = house.program()
    problem(program.get("/api/nothing/here"), 404, "not_found")
    answer = program.put("/api/executions")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    body = problem(program.get("/api/executions?limit=x"), 422, "invalid_request")
    assert body["errors"]
    problem(program.get("/api/executions?status=gone"), 422, "invalid_query")
    problem(program.get("/api/executions?since=soon"), 422, "invalid_query")


def test_a_body_over_its_limit_is_refused_and_a_large_document_is_not(house: Web) -> None:
    program = house.program()
    big = b'{"input": "' + b"x" * 1_200_000 + b'"}'
    json = {"Content-Type": "application/json"}
    answer = program.post("/api/workflows/x/execute", content=big, headers=json)
    problem(answer, 413, "too_large")
    long = b'{"name": "long", "description": "' + b"x" * 2_000_000 + b'", "steps": {}}'
    problem(program.post("/api/workflows", content=long, headers=json), 422, "invalid_document")
    huge = b"x" * 16_000_001
    problem(program.post("/api/workflows", content=huge, headers=json), 413, "too_large")


def test_another_host_name_is_refused_but_for_probes(house: Web) -> None:
    nobody = house.nobody()
    elsewhere = {"Host": "evil.example"}
    problem(nobody.get("/api/me", headers=elsewhere), 421, "unknown_host")
    problem(nobody.get("/anything", headers=elsewhere), 421, "unknown_host")
    assert nobody.get("/api/health", headers=elsewhere).status_code == 200


def test_answers_tell_browsers_what_not_to_do(house: Web) -> None:
    for path in ("/api/me", "/api/health", "/api/nothing"):
        headers = house.nobody().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"


def test_the_documentation_loads_nothing_from_elsewhere(house: Web) -> None:
    nobody = house.nobody()
    page = nobody.get("/api/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert name in page.text
        assert len(nobody.get(f"/api/docs/{name}").content) > 400
    problem(nobody.get("/api/docs/passwd"), 404, "not_found")
    document = nobody.get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "/api"}]
    assert "/workflows/{workflow}/execute" in document["paths"]


def test_signing_in_by_password_sets_a_cookie_that_scripts_cannot_read(house: Web) -> None:
    hashed = secrets.hash_password("correct horse")
    house.database.write(lambda c: users.set_password(c, house.owner_id, hashed))
    browser = house.nobody()
    browser.headers["Origin"] = ORIGIN
    form = {"name": "ada", "password": "correct horse", "next": "/executions/x"}
    answer = browser.post("/api/login", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/executions/x")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert browser.get("/api/me").json()["name"] == "ada"
    assert browser.post("/api/logout").headers["location"] == "/login"
    problem(browser.get("/api/me"), 401, "unauthenticated")


def test_a_failed_sign_in_leads_back_and_programs_get_a_problem(house: Web) -> None:
    browser = house.nobody()
    browser.headers["Origin"] = ORIGIN
    form = {"name": "ada", "password": "wrong", "next": "//evil.example"}
    problem(browser.post("/api/login", data=form), 401, "unauthenticated")
    page = browser.post("/api/login", data=form, headers={"Accept": "text/html"})
    assert page.status_code == 303
    assert page.headers["location"] == "/login?error=credentials&next=%2Fmonitoring"
    for _ in range(10):
        last = browser.post("/api/login", data=form)
    problem(last, 429, "rate_limited")
    assert int(last.headers["retry-after"]) > 0
    page = browser.post("/api/login", data=form, headers={"Accept": "text/html"})
    assert page.headers["location"].startswith("/login?error=limited")


def test_a_form_of_another_site_cannot_sign_in(house: Web) -> None:
    form = {"name": "ada", "password": "x"}
    evil = {"Origin": "https://evil.example"}
    problem(house.nobody().post("/api/login", data=form, headers=evil), 403, "forbidden")


def test_a_link_is_used_up_by_its_button_not_by_a_preview(house: Web) -> None:
    path = create_link(house.database, house.owner_id)
    browser = house.nobody()
    browser.headers["Origin"] = ORIGIN
    for _ in range(3):
        preview = house.nobody().get(path)
        assert preview.status_code == 200
        assert '<form method="post">' in preview.text
    answer = browser.post(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/monitoring")
    assert browser.cookies.get(COOKIE)
    assert browser.get("/api/me").json()["id"] == house.owner_id
    again = house.nobody().post(path, headers={"Origin": ORIGIN})
    assert again.status_code == 410
    assert COOKIE not in again.cookies


def test_a_failure_is_logged_by_its_route_never_with_what_stood_in_the_path(
    house: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(login, "_page", fail)
    path = create_link(house.database, house.owner_id)
    caller = TestClient(house.app, base_url=ORIGIN, raise_server_exceptions=False)
    problem(caller.get(path), 500, "internal_error")
    ours = "\n".join(one.getMessage() for one in caplog.records if "engine_app" in one.name)
    assert ours == "GET /login/link/{secret} failed"


def test_what_does_not_answer_is_a_503_that_says_when_to_ask_again(
    sqlite_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "POOL_SECONDS", 0.1)
    free, all_in = threading.Event(), threading.Barrier(CONNECTIONS + 1, timeout=30)

    def hold(_: object) -> None:
        all_in.wait()
        free.wait(30)

    with web(sqlite_url, redis_url) as house:
        program = house.program()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _ in range(CONNECTIONS):
                pool.submit(house.database.read, hold)
            all_in.wait()
            for path in ("/api/me", "/api/executions"):
                answer = program.get(path)
                problem(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) > 0
            assert program.get("/api/health").status_code == 200
            free.set()
        assert program.get("/api/me").status_code == 200


def test_health_waits_for_no_thread() -> None:
    (route,) = [route for route in api_routes() if route.path == "/health"]
    assert iscoroutinefunction(route.endpoint)
    assert is_open(route.endpoint)  # whom it lets in is asked on a thread


def test_a_revoked_token_stops_at_once_and_is_shown_only_once(house: Web) -> None:
    browser = house.browser()
    made = browser.post("/api/tokens", json={"name": "ci"}).json()
    program = house.nobody()
    program.headers["Authorization"] = f"Bearer {made['token']}"
    assert program.get("/api/me").status_code == 200
    listed = browser.get("/api/tokens")
    assert made["token"] not in listed.text
    assert listed.json()["items"][0]["name"] == "ci"
    assert house.program(house.stranger_id).delete(f"/api/tokens/{made['id']}").status_code == 404
    assert browser.delete(f"/api/tokens/{made['id']}").status_code == 204
    problem(program.get("/api/me"), 401, "unauthenticated")


def test_a_token_makes_no_tokens(house: Web) -> None:
    refused = problem(house.program().post("/api/tokens", json={"name": "x"}), 403, "forbidden")
    assert refused["detail"] == "a token cannot make tokens"
    assert "engine token create" in str(refused["hint"])
    assert [row["name"] for row in house.browser().get("/api/tokens").json()["items"]] == ["test"]


def test_a_changed_password_ends_the_links_that_were_made_before(house: Web) -> None:
    path = create_link(house.database, house.owner_id)
    hashed = secrets.hash_password("correct horse")
    house.database.write(lambda c: users.set_password(c, house.owner_id, hashed))
    answer = house.nobody().post(path, headers={"Origin": ORIGIN})
    assert answer.status_code == 410
    assert "the password was changed" in answer.text


def test_the_document_names_every_route(house: Web) -> None:
    text = Path("docs/api.md").read_text()
    paths = house.nobody().get("/api/openapi.json").json()["paths"]
    routes = {f"`{method.upper()} {path}`" for path, found in paths.items() for method in found}
    named = set(re.findall(r"^\| (`[A-Z]+ /[^`]+`)", text, re.MULTILINE))
    assert named == routes
