"""A page's first request: those without a cookie are led to the sign-in page and back."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from engine_app.auth.viewer import COOKIE
from engine_app.door import Door


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["path"])(scope, receive, send)


def _client(**cookies: str) -> TestClient:
    return TestClient(Door(_echo), cookies=cookies, follow_redirects=False)


@pytest.mark.parametrize(
    ("asked", "next_"),
    [
        ("/", "%2F"),
        ("/monitoring?status=failed&q=a%20b", "%2Fmonitoring%3Fstatus%3Dfailed%26q%3Da%2520b"),
        ("/executions/1agt1yynhwbzb", "%2Fexecutions%2F1agt1yynhwbzb"),
    ],
)
def test_a_page_asked_for_while_signed_out_leads_to_sign_in_and_back(
    asked: str, next_: str
) -> None:
    response = _client().get(asked)
    assert response.status_code == 303
    assert response.headers["location"] == f"/login?next={next_}"


@pytest.mark.parametrize("path", ["/login", "/assets/app.js", "/app.css", "/_event"])
def test_what_the_sign_in_page_needs_is_open(path: str) -> None:
    assert _client().get(path).status_code == 200


def test_a_page_drawn_beforehand_is_served_at_its_plain_address() -> None:
    assert _client(**{COOKIE: "x"}).get("/monitoring").text == "/monitoring/"


def test_a_post_is_no_page() -> None:
    assert _client().post("/monitoring").status_code == 200


def test_pages_may_load_nothing_from_elsewhere() -> None:
    policy = _client().get("/login").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "http" not in policy
