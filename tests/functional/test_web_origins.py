"""Whose pages the running engine trusts: its own, and nobody else's on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

from tests.support.channel import Tab
from tests.support.system import ROOT, System

ORIGINS = """
from rxconfig import config
print(*config.cors_allowed_origins)
"""


@pytest.mark.parametrize("port", [3000, 3001])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_on_another_port_of_this_machine_is_not_ours(
    system: System, host: str, port: int
) -> None:
    page = f"http://{host}:{port}"
    with pytest.raises(ConnectionError):
        Tab(system.url, headers={"Origin": page})
    read = httpx.get(f"{system.url}/api/health", headers={"Origin": page})
    assert "access-control-allow-origin" not in read.headers
    asked = {"Origin": page, "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(f"{system.url}/api/tokens", headers=asked)
    assert "access-control-allow-origin" not in preflight.headers


def test_our_own_pages_reach_the_live_channel(system: System) -> None:
    for origin in (system.url, system.url.replace("127.0.0.1", "localhost")):
        Tab(system.url, headers={"Origin": origin}).close()


def _origins(**variables: str) -> set[str]:
    """Return whom a process started with these variables trusts."""
    clean = {name: value for name, value in os.environ.items() if "REFLEX_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", ORIGINS],
        cwd=ROOT,
        env={**clean, "ENGINE_PORT": "8123", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


OWN = {f"http://{host}:8123" for host in ("127.0.0.1", "localhost", "[::1]")}


@pytest.mark.parametrize(
    "variables",
    [
        {},  # any server that somebody starts by hand
        {"REFLEX_ENV_MODE": "prod"},
        {"REFLEX_ENV_MODE": "prod", "__REFLEX_COMPILE_CONTEXT": "run"},  # reflex run --env prod
        {"__REFLEX_COMPILE_CONTEXT": "export"},
    ],
)
def test_only_the_development_server_adds_a_page_on_another_port(variables: dict[str, str]) -> None:
    assert _origins(**variables) == OWN


@pytest.mark.parametrize(("port", "page"), [("", 3000), ("3005", 3005)])
def test_the_development_server_adds_its_own_pages(port: str, page: int) -> None:
    variables = {"REFLEX_ENV_MODE": "dev", "__REFLEX_COMPILE_CONTEXT": "run"}
    if port:
        variables["REFLEX_FRONTEND_PORT"] = port
    assert _origins(**variables) == OWN | {f"http://localhost:{page}"}
