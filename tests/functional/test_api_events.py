"""Events as a stream: each once, in order, across reconnects, to many at once."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, update

from engine.store.db.database import Database
from engine.store.tables import EventRow, Execution
from engine.store.writes import users
from engine_app.auth.tokens import create_token
from engine_app.auth.viewer import COOKIE, open_session
from engine_app.pubsub import CHANNEL
from tests.support import rows
from tests.support.processes import free_port, server

CLIENTS = 200


@dataclass
class Served:
    """An API under a real server, with an execution that the test moves on."""

    database: Database
    redis: redis.Redis
    url: str
    token_id: str
    owner_id: str
    headers: dict[str, str]
    execution_id: str
    seq: int = 0

    def happen(self, *types: str, status: str = "running") -> None:
        """Let events happen in one transaction, and say so."""
        numbered = list(enumerate(types, self.seq + 1))
        self.seq += len(types)

        def work(connection: Any) -> None:
            for seq, name in numbered:
                row = {"execution_id": self.execution_id, "seq": seq, "type": name, "at": rows.NOW}
                connection.execute(insert(EventRow), row)
            connection.execute(
                update(Execution)
                .where(Execution.id == self.execution_id)
                .values(last_seq=self.seq, status=status)
            )

        self.database.write(work)
        word = {"execution": self.execution_id, "owner": self.owner_id, "workflow": "w"}
        self.redis.publish(CHANNEL, json.dumps(word))

    @property
    def path(self) -> str:
        """The stream's address."""
        return f"{self.url}/api/executions/{self.execution_id}/events"

    def stream(self, after: int | None = None) -> Iterator[tuple[int, str]]:
        """Yield (number, type) until the stream ends."""
        for message in self.messages(after):
            if "id" in message:
                assert json.loads(message["data"])["seq"] == int(message["id"])
                yield int(message["id"]), message["event"]

    def messages(self, after: int | None = None) -> Iterator[dict[str, str]]:
        """Yield every message until the stream ends."""
        headers = dict(self.headers)
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        with httpx.stream("GET", self.path, headers=headers, timeout=20) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif "event" in event:
                    yield event
                    event = {}


@pytest.fixture
def served(sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[Served]:
    database = Database.open(sqlite_url)
    owner = database.write(lambda c: users.add(c, "ada", rows.NOW))
    workflow = rows.workflow(database, owner)
    token_id, secret = create_token(database, owner, "test")
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory"]
    command += ["--port", str(port), "--no-access-log", "tests.support.api_server:app"]
    environment = {
        **os.environ,
        "DATABASE_URL": sqlite_url,
        "REDIS_URL": redis_url,
        "ENGINE_PORT": str(port),
        "ENGINE_HOME": str(tmp_path),
    }
    with server(command, port=port, log=tmp_path / "log", env=environment):
        yield Served(
            database,
            redis.Redis.from_url(redis_url),
            f"http://127.0.0.1:{port}",
            token_id,
            owner,
            {"Authorization": f"Bearer {secret}"},
            rows.execution(database, owner, workflow),
        )
    database.close()


def test_a_stream_gives_each_event_once_and_ends_with_the_execution(served: Served) -> None:
    served.happen("created")
    seen = []
    for number, name in served.stream():
        seen.append((number, name))
        if name == "created":
            served.happen("started", "step_started")
        if name == "step_started":
            served.happen("step_completed", "completed", status="completed")
    names = ["created", "started", "step_started", "step_completed", "completed"]
    assert seen == list(enumerate(names, 1))
    assert list(served.messages(after=4))[-1] == {"event": "end", "data": "{}"}
    over = httpx.get(served.path, headers={**served.headers, "Last-Event-ID": "5"})
    assert over.status_code == 204


def test_a_client_that_comes_back_goes_on_where_it_was(served: Served) -> None:
    served.happen("created", "started")
    seen = []
    for event in served.stream():
        seen.append(event)
        break
    served.happen("step_started", "step_completed")
    for event in served.stream(after=seen[-1][0]):
        seen.append(event)
        if event[0] == 4:
            served.happen("completed", status="completed")
    assert [number for number, _ in seen] == [1, 2, 3, 4, 5]


def test_a_word_that_is_lost_costs_time_only(served: Served) -> None:
    served.happen("created")
    stream = served.stream()
    assert next(stream) == (1, "created")
    quiet, served.redis = served.redis, redis.Redis.from_url("redis://127.0.0.1:1")
    with pytest.raises(redis.ConnectionError):
        served.happen("completed", status="completed")
    assert list(stream) == [(2, "completed")]
    quiet.close()


def revoke(served: Served) -> None:
    now = served.database.now()
    served.database.write(lambda c: users.revoke_token(c, served.owner_id, served.token_id, now))


def sign_out(served: Served) -> None:
    sent = {**served.headers, "Origin": served.url}
    assert httpx.post(f"{served.url}/api/logout", headers=sent).status_code == 303


def delete(served: Served) -> None:
    """Delete the execution, as pruning does."""

    def work(connection: Any) -> None:
        for table, column in ((EventRow, "execution_id"), (Execution, "id")):
            key = getattr(table, column)
            connection.execute(sql_delete(table).where(key == served.execution_id))

    served.database.write(work)
    word = {"execution": served.execution_id, "owner": served.owner_id, "workflow": "w"}
    served.redis.publish(CHANNEL, json.dumps(word))


@pytest.mark.parametrize(
    ("happens", "code"),
    [(revoke, "unauthenticated"), (sign_out, "unauthenticated"), (delete, "not_found")],
)
def test_a_stream_that_one_may_see_no_more_is_closed_and_not_ended(
    served: Served, happens: Callable[[Served], None], code: str
) -> None:
    served.happen("created")
    if happens is sign_out:
        secret = open_session(served.database, served.owner_id, hours=1)
        served.headers = {"Cookie": f"{COOKIE}={secret}"}
    messages = served.messages()
    assert next(messages)["event"] == "created"
    happens(served)
    if happens is not delete:
        served.happen("completed", status="completed")
    (last,) = messages
    assert last["event"] == "closed"
    assert "id" not in last  # the place to go on from stays the last event that was seen
    told = json.loads(last["data"])
    assert told["code"] == code
    assert told["detail"]
    again = httpx.get(served.path, headers=served.headers)
    assert again.status_code == {"unauthenticated": 401, "not_found": 404}[code]


def test_the_api_answers_while_two_hundred_clients_listen(served: Served) -> None:
    served.happen("created")
    ready = threading.Barrier(CLIENTS + 1, timeout=60)

    def listen(_: int) -> list[int]:
        numbers = []
        for number, _name in served.stream():
            numbers.append(number)
            if number == 1:
                ready.wait()
        return numbers

    with ThreadPoolExecutor(CLIENTS) as pool:
        found = [pool.submit(listen, client) for client in range(CLIENTS)]
        ready.wait()
        before = time.monotonic()
        assert httpx.get(f"{served.url}/api/me", headers=served.headers).status_code == 200
        assert time.monotonic() - before < 2
        for _ in range(5):
            served.happen("step_started", "step_completed")
        served.happen("completed", status="completed")
        assert httpx.get(f"{served.url}/api/executions", headers=served.headers).status_code == 200
        numbers = [future.result(timeout=60) for future in found]
    assert numbers == [list(range(1, 13))] * CLIENTS
