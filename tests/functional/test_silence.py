"""A Redis, or a database, that says nothing: what is asked of us is answered all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from actors.client import ASK_SECONDS, SEND_SECONDS
from engine.settings import Settings
from engine_app import pubsub
from engine_app.api import readiness
from engine_app.api.guard import Parts
from engine_app.auth.limits import Limits
from engine_app.checks import Checks
from engine_app.pubsub import Hub
from engine_app.supervisor import checks
from tests.support import rows
from tests.support.silent import silent, swallowing
from tests.support.valkey import valkey
from tests.support.web import Web, problem, web

DOCUMENT = {"name": "plain", "steps": {"a": {"uses": "transform", "with": {"value": 1}}}}
BUSY = 2.0  # seconds that the work itself may take on a busy machine, beside what it waits
ACCEPTED = SEND_SECONDS + BUSY
ANSWERED = readiness.PART_SECONDS + BUSY
Deaf = Callable[[], AbstractContextManager[int]]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds, f"it took {took:.2f} s"


@pytest.fixture(params=[silent, swallowing], ids=["silent", "swallowing"])
def house(request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path) -> Iterator[Web]:
    """The API over a Redis from which nothing comes."""
    deaf: Deaf = request.param
    with deaf() as port, web(sqlite_url, f"redis://127.0.0.1:{port}/0", home=tmp_path) as it:
        rows.workflow(it.database, it.owner_id, DOCUMENT)
        yield it


def execute(house: Web) -> str:
    answer = house.program().post("/api/workflows/plain/execute", json={})
    assert answer.status_code == 202
    return str(answer.json()["execution_id"])


def test_the_limits_are_those_that_are_promised() -> None:
    assert SEND_SECONDS < 1
    assert readiness.PART_SECONDS < 2
    assert ASK_SECONDS <= 2


def test_accepted_work_does_not_wait_for_the_waker(house: Web) -> None:
    with within(ACCEPTED):
        execution_id = execute(house)
    with within(ACCEPTED):
        cancelled = house.program().post(f"/api/executions/{execution_id}/cancel", json={})
    assert cancelled.is_success


@pytest.mark.parametrize("house", [silent], indirect=True, ids=["silent"])
def test_nor_do_many_at_once(house: Web) -> None:
    # More than there are threads that may wait for Redis: what finds none gives up as soon.
    with within(3 * ACCEPTED), ThreadPoolExecutor(24) as callers:
        started = list(callers.map(lambda _: execute(house), range(24)))
    assert len(set(started)) == 24


def test_readiness_names_what_does_not_answer(house: Web) -> None:
    with within(ANSWERED):
        answer = house.nobody().get("/api/ready")
    assert answer.status_code == 503
    found = answer.json()["parts"]
    assert found["redis"] == "does not answer"
    assert (found["database"], found["disk"]) == ("ok", "ok")


@pytest.mark.parametrize("house", [silent], indirect=True, ids=["silent"])
def test_what_only_redis_knows_is_unavailable_soon(house: Web) -> None:
    program = house.program()
    with within(ASK_SECONDS + BUSY):
        problem(program.get("/api/queues"), 503, "unavailable")


def test_readiness_names_a_database_that_does_not_answer(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    with silent() as port, web(sqlite_url, redis_url, home=tmp_path) as house:
        url = f"postgresql://engine@127.0.0.1:{port}/engine"
        deaf = Settings(DATABASE_URL=url, REDIS_URL=redis_url, home=tmp_path)
        parts = Parts(house.client, deaf, Limits(), frozenset(), lambda _session: None, Checks())
        with within(ANSWERED):
            found = readiness.look(parts)
    assert found.parts["database"] == "does not answer"
    assert found.parts["redis"] == "ok"


def test_a_server_that_refuses_is_not_called_silent(sqlite_url: str, tmp_path: Path) -> None:
    with (
        valkey(settings={"requirepass": "secret"}) as url,
        web(sqlite_url, url, home=tmp_path) as house,
    ):
        found = house.nobody().get("/api/ready").json()["parts"]["redis"]
        assert found.startswith("refuses: ")
        assert "uthentication required" in found
        detail = problem(house.program().get("/api/queues"), 503, "unavailable")["detail"]
        assert "refuses" in str(detail)


def test_checks_tell_of_a_silent_redis_instead_of_waiting_for_it(tmp_path: Path) -> None:
    # Its 3 s are the limit that is tried here.
    with silent() as port, within(5):
        settings = Settings(REDIS_URL=f"redis://127.0.0.1:{port}/0", home=tmp_path)
        [fault] = checks._redis(settings)
    assert "does not answer" in fault.problem


def test_pages_poll_once_the_live_channel_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub, "_IDLE_SECONDS", 0.1)

    async def scene(url: str, pid: int) -> None:
        hub = Hub()
        listening = asyncio.create_task(hub.listen(url))
        await holds(lambda: hub.connected)
        await asyncio.sleep(0.3)  # in which it is asked, and says that it is there
        assert hub.connected
        os.kill(pid, signal.SIGSTOP)
        try:
            await holds(lambda: not hub.connected)
        finally:
            os.kill(pid, signal.SIGCONT)
        await holds(lambda: hub.connected)
        listening.cancel()

    with valkey() as url:
        told: Any = redis.Redis.from_url(url).info("server")
        asyncio.run(scene(url, told["process_id"]))


async def holds(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
