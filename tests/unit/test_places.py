"""Where requests may come from, and where signing in may lead."""

from __future__ import annotations

import pytest

from engine.settings import Settings
from engine_app.api.login import HOME, local_path
from engine_app.auth.places import allowed_hosts, allowed_origins, is_ours

ORIGINS = allowed_origins(
    Settings(port=8123, allowed_origins=("https://Engine.example:443/", "http://box:9000"))
)


def test_origins_are_this_machine_and_the_named_ones_as_browsers_write_them() -> None:
    assert {
        "http://127.0.0.1:8123",
        "http://localhost:8123",
        "https://engine.example",
        "http://box:9000",
    } <= ORIGINS
    assert {"engine.example", "box:9000", "localhost:8123"} <= allowed_hosts(ORIGINS)


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"origin": "http://127.0.0.1:8123"}, True),
        ({"origin": "https://engine.example"}, True),
        ({"origin": "https://engine.example.evil.org"}, False),
        ({"origin": "http://engine.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://evil.org", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({}, False),
    ],
)
def test_only_our_own_pages_are_ours(headers: dict[str, str], ours: bool) -> None:
    assert is_ours(headers, ORIGINS) is ours


@pytest.mark.parametrize("path", ["/monitoring", "/executions/x?tab=logs", "/a//b"])
def test_a_path_of_ours_is_gone_on_to(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "target",
    [
        "",
        "https://evil.org/",
        "//evil.org",
        "/\\evil.org",
        "\\\\evil.org",
        "javascript:alert(1)",
        "/\t/evil.org",
        "/ok\r\nSet-Cookie: a=b",
    ],
)
def test_a_target_elsewhere_leads_home(target: str) -> None:
    assert local_path(target) == HOME
