"""Behind a proxy each caller is counted by their own address, and nobody by one they choose."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engine_app.auth.limits import PER_PAIR
from engine_app.auth.links import create_link
from tests.support.processes import free_port, server
from tests.support.web import ORIGIN, Web, problem, web

HOME, ATTACKER = "203.0.113.1", "203.0.113.2"
FORM = {"name": "ada", "password": "wrong"}


@pytest.fixture
def house(sqlite_url: str, redis_url: str) -> Iterator[Web]:
    with web(sqlite_url, redis_url, trusted_proxies=("10.0.0.0/8",)) as opened:
        yield opened


def sign_in(house: Web, peer: str, forwarded: str, header: str = "X-Forwarded-For") -> int:
    sent = {"Origin": ORIGIN, header: forwarded}
    answer = house.nobody(peer).post("/api/login", data=FORM, headers=sent)
    return int(answer.status_code)


def test_one_attacker_behind_a_trusted_proxy_keeps_nobody_else_out(house: Web) -> None:
    heard = [sign_in(house, "10.0.0.1", ATTACKER) for _ in range(PER_PAIR + 1)]
    assert heard == [401] * PER_PAIR + [429]
    assert sign_in(house, "10.0.0.2", f"for={ATTACKER}", "Forwarded") == 429
    assert sign_in(house, "10.0.0.1", HOME) == 401


def test_a_caller_who_comes_by_no_trusted_proxy_cannot_choose_an_address(house: Web) -> None:
    heard = [sign_in(house, ATTACKER, f"198.51.100.{n}") for n in range(PER_PAIR + 1)]
    assert heard == [401] * PER_PAIR + [429]


def test_a_forged_address_before_the_proxys_own_word_changes_nothing(house: Web) -> None:
    heard = [sign_in(house, "10.0.0.1", f"198.51.100.{n}, {ATTACKER}") for n in range(PER_PAIR + 1)]
    assert heard == [401] * PER_PAIR + [429]


@pytest.mark.parametrize(("peer", "secure"), [("10.0.0.1", True), (ATTACKER, False)])
def test_the_cookie_is_secure_when_a_trusted_proxy_says_that_it_speaks_tls(
    house: Web, peer: str, secure: bool
) -> None:
    path = create_link(house.database, house.owner_id)
    sent = {"Origin": ORIGIN, "X-Forwarded-For": HOME, "X-Forwarded-Proto": "https"}
    answer = house.nobody(peer).post(path, headers=sent)
    assert answer.status_code == 303
    assert ("secure" in answer.headers["set-cookie"].lower()) is secure


@pytest.mark.parametrize("trusted", ["", "127.0.0.0/8"])
def test_a_real_server_rewrites_no_address_by_itself(
    sqlite_url: str, redis_url: str, tmp_path: Path, trusted: str
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory"]
    command += ["--port", str(port), "--no-access-log", "tests.support.api_server:app"]
    environment = {
        **os.environ,
        "DATABASE_URL": sqlite_url,
        "REDIS_URL": redis_url,
        "ENGINE_PORT": str(port),
        "ENGINE_HOME": str(tmp_path),
        "ENGINE_TRUSTED_PROXIES": trusted,
    }
    with server(command, port=port, log=tmp_path / "log", env=environment):
        url = f"http://127.0.0.1:{port}"

        def guess(address: str) -> httpx.Response:
            sent = {"Origin": url, "X-Forwarded-For": address}
            return httpx.post(f"{url}/api/login", data=FORM, headers=sent)

        for _ in range(PER_PAIR):
            problem(guess(ATTACKER), 401, "unauthenticated")
        problem(guess(ATTACKER), 429, "rate_limited")
        status, code = (401, "unauthenticated") if trusted else (429, "rate_limited")
        problem(guess(HOME), status, code)
