"""A page's first request: those without a cookie are led to the sign-in page and back."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from engine.errors import Unavailable
from engine_app import engine_app
from engine_app.api.middleware import RelativeRedirects
from engine_app.auth.viewer import COOKIE
from engine_app.auth_redirect import Door


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["path"])(scope, receive, send)


PAGES = ("/", "/login", "/404", "/monitoring", "/approvals", "/executions/[id]", "/workflows/[id]")


async def _session(cookies: str) -> str | None:
    if "away" in cookies:
        raise Unavailable("the database did not answer")
    return "digest" if f"{COOKIE}=x" in cookies else None


def _client(**cookies: str) -> TestClient:
    return TestClient(Door(_echo, PAGES, _session), cookies=cookies, follow_redirects=False)


@pytest.mark.parametrize(
    ("asked", "next_"),
    [
        ("/", "%2F"),
        ("/monitoring?status=failed&q=a%20b", "%2Fmonitoring%3Fstatus%3Dfailed%26q%3Da%2520b"),
        ("/executions/1agt1yynhwbzb", "%2Fexecutions%2F1agt1yynhwbzb"),
        ("/approvals/?x=1", "%2Fapprovals%3Fx%3D1"),
    ],
)
def test_a_page_asked_for_while_signed_out_leads_to_sign_in_and_back(
    asked: str, next_: str
) -> None:
    response = _client().get(asked)
    assert response.status_code == 303
    assert response.headers["location"] == f"/login?next={next_}"


def test_a_session_that_is_over_leads_to_sign_in_as_none_does() -> None:
    assert _client(**{COOKIE: "over"}).get("/approvals").status_code == 303


def test_a_page_is_served_while_nobody_can_tell_whose_session_it_is() -> None:
    assert _client(**{COOKIE: "away"}).get("/approvals").status_code == 200


def test_every_page_but_two_leads_to_sign_in() -> None:
    door = Door(_echo, engine_app._addresses(), _session)
    asked = {page.replace("[id]", "x") for page in engine_app._addresses()}
    assert len(asked) > 6
    client = TestClient(door, follow_redirects=False)
    open_ = {page for page in asked if client.get(page).status_code == 200}
    assert open_ == {"/login", "/404"}


@pytest.mark.parametrize("path", ["/login", "/assets/app.js", "/app.css", "/_event"])
def test_what_the_sign_in_page_needs_is_open(path: str) -> None:
    assert _client().get(path).status_code == 200


def test_a_page_drawn_beforehand_is_served_at_its_plain_address() -> None:
    assert _client(**{COOKIE: "x"}).get("/monitoring").text == "/monitoring/"


def test_a_page_is_only_shown() -> None:
    for method in ("POST", "DELETE", "PATCH"):
        answer = _client(**{COOKIE: "x"}).request(method, "/monitoring")
        assert answer.status_code == 405
        assert answer.json()["code"] == "method_not_allowed"
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    answer = _client().options("/monitoring")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_pages_may_load_nothing_from_elsewhere() -> None:
    policy = _client().get("/login").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "http" not in policy


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("http://engine.example/approvals/?x=1", "/approvals/?x=1"),
        ("http://ENGINE.example", "/"),
        ("http://engine.example//evil.example/", "/evil.example/"),
        ("https://elsewhere.example/a", "https://elsewhere.example/a"),
        ("/login?next=%2F", "/login?next=%2F"),
    ],
)
def test_a_redirect_to_ourselves_names_no_scheme_and_no_host(target: str, shown: str) -> None:
    async def lead(scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse(target)(scope, receive, send)

    client = TestClient(RelativeRedirects(lead), base_url="http://engine.example")
    assert client.get("/", follow_redirects=False).headers["location"] == shown
