"""The live channel: who may speak on it, what is kept of a tab, and what of it is logged."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from actors.notifications import publish
from engine.commands import lifecycle
from engine.store.db.database import Database
from engine.store.writes import users
from engine_app.auth.secrets import digest
from engine_app.auth.viewer import COOKIE, open_session
from engine_app.handshake import ANONYMOUS
from engine_app.states.execution import ExecutionState
from engine_app.states.monitoring import MonitoringState
from engine_app.tabs import AWAY_OF_A_SESSION
from tests.support import rows
from tests.support.channel import BOOT, HYDRATE, LOAD, Tab, event, handler
from tests.support.pages_server import INSIGHT
from tests.support.processes import eventually, free_port, server

NAME = "canary-workflow"
BARE = "/login"  # a page that reads nothing: what comes is what was kept
WATCH = handler(MonitoringState, "watch")


@dataclass
class Pages:
    """The pages under a real server, and two people who are signed in."""

    database: Database
    url: str
    log: Path
    environment: dict[str, str]
    ada: str = ""
    eve: str = ""

    def sign_in(self, user_id: str) -> str:
        """Return the cookie of a new session."""
        return open_session(self.database, user_id, hours=1) or ""

    def kept(self) -> dict[str, int]:
        """Return what the server keeps at this moment."""
        found: dict[str, int] = httpx.get(self.url + INSIGHT).json()
        return found

    def browser(self, session: str) -> httpx.Client:
        """Return what sends requests as the page of that session does."""
        headers = {"Origin": self.url, "Cookie": f"{COOKIE}={session}"}
        return httpx.Client(base_url=self.url, headers=headers)


def serving(port: int, app: str = "tests.support.pages_server:app") -> list[str]:
    """Return the command that serves the pages, as ``engine up`` does."""
    how = ["--interface", "asgi", "--factory", "--port", str(port), "--no-access-log"]
    return [sys.executable, "-m", "granian", *how, app]


@pytest.fixture(scope="module")
def pages(
    sqlite_template: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("pages")
    shutil.copyfile(sqlite_template, folder / "engine.db")
    database = Database.open(f"sqlite:///{folder / 'engine.db'}")
    port = free_port()
    variables = {
        **{name: value for name, value in os.environ.items() if "REFLEX_" not in name},
        "DATABASE_URL": f"sqlite:///{folder / 'engine.db'}",
        "REDIS_URL": redis_url,
        "ENGINE_PORT": str(port),
        "ENGINE_HOME": str(folder),
        "REFLEX_ENV_MODE": "prod",
        "__REFLEX_SKIP_COMPILE": "true",
        "PYTHONUNBUFFERED": "1",
    }
    with server(serving(port), port=port, log=folder / "log", env=variables):
        made = Pages(database, f"http://127.0.0.1:{port}", folder / "log", variables)
        made.ada = database.write(lambda c: users.add(c, "ada", rows.NOW))
        made.eve = database.write(lambda c: users.add(c, "eve", rows.NOW))
        yield made
    database.close()


@pytest.fixture
def ada(pages: Pages) -> str:
    """The cookie of a session of this test's own."""
    return pages.sign_in(pages.ada)


def look_at(execution_id: str) -> dict[str, Any]:
    """Return the first event of a tab that opens an execution."""
    first = event(BOOT, "/executions/[id]")
    first["router_data"] |= {
        "pathname": f"/executions/{execution_id}",
        "asPath": f"/executions/{execution_id}",
        "query": {"id": execution_id},
    }
    return first


def an_execution(pages: Pages) -> str:
    document = {**rows.PIPELINE, "name": f"{NAME}-{uuid.uuid4().hex[:6]}"}
    workflow = rows.workflow(pages.database, pages.ada, document)
    return rows.execution(pages.database, pages.ada, workflow)


# --- what of it is logged


@pytest.mark.parametrize(
    "sent",
    [
        event("no_such.handler"),
        event(f"{MonitoringState.get_full_name()}.setvar"),
        {"name": ["not", "text"]},
        {"name": "no_such.handler", "payload": 7, "router_data": "no"},
        event(BOOT) | {"router_data": 5},
        event(BOOT) | {"payload": None},
        '{"name": "no_such.handler"}',
        "not json",
        [1, 2],
        None,
        7,
    ],
)
def test_no_field_of_a_header_is_logged_whatever_event_a_client_sends(
    pages: Pages, ada: str, sent: Any
) -> None:
    canary = uuid.uuid4().hex
    headers = {"User-Agent": canary, "X-Custom": canary}
    with Tab(pages.url, ada, boot=event(BOOT), headers=headers, protocol=canary) as tab:
        tab.hears("is_hydrated")
        tab.send(sent)
        tab.got.clear()
        tab.send(event(LOAD))  # heard after the other: events of a tab wait for each other
        tab.hears("is_hydrated")
    said = pages.log.read_text()
    assert canary not in said
    assert ada not in said


def test_a_refused_event_is_logged_by_its_name_once_a_socket(pages: Pages, ada: str) -> None:
    name = f"no_such.{uuid.uuid4().hex}"
    with Tab(pages.url, ada, boot=event(BOOT)) as tab:
        for _ in range(5):
            tab.send(event(f"{name}\nforged line"))
        tab.send(event(f"{name}.last"))
        eventually(lambda: name in pages.log.read_text(), seconds=15, what="a refusal is logged")
        tab.heard(0.5)
    said = pages.log.read_text()
    assert said.count(name) == 1
    assert "\nforged line" not in said
    assert "Traceback" not in said


def test_the_channel_speaks_by_websocket_only_and_logs_nothing_of_who_tries(pages: Pages) -> None:
    canary = f"http://{uuid.uuid4().hex}.example"
    for method in ("GET", "POST"):
        where = f"{pages.url}/_event/?EIO=4&transport=polling"
        answer = httpx.request(method, where, headers={"Origin": canary})
        assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
        assert answer.json()["code"] == "upgrade_required"
    with pytest.raises(ConnectionError):
        Tab(pages.url, headers={"Origin": canary})
    assert canary not in pages.log.read_text()


# --- who may speak on it, and what is kept of a tab


def test_a_server_that_finds_no_configuration_of_reflexs_trusts_nobody_for_it(
    pages: Pages, tmp_path: Path
) -> None:
    port = free_port()
    variables = pages.environment | {"ENGINE_PORT": str(port)}
    elsewhere = ["env", "-C", str(tmp_path), *serving(port, "engine_app.engine_app:app")]
    with server(elsewhere, port=port, log=tmp_path / "log", env=variables, seconds=40):
        url = f"http://127.0.0.1:{port}"
        evil = {"Origin": "https://evil.example"}
        with pytest.raises(ConnectionError):
            Tab(url, headers=evil)
        cookie = {"Cookie": f"{COOKIE}={pages.sign_in(pages.ada)}"}
        assert httpx.get(f"{url}/api/tokens", headers=cookie | evil).status_code == 403
        Tab(url).close()


@pytest.mark.parametrize("session", [None, "", "x" * 43, "ee_" + "x" * 43])
@pytest.mark.parametrize("first", [BOOT, HYDRATE, LOAD])
def test_whoever_is_not_signed_in_is_told_nothing_but_where_to_sign_in(
    pages: Pages, session: str | None, first: str
) -> None:
    before = pages.kept()["states"]
    with Tab(pages.url, session, boot=event(first, "/workflows")) as tab:
        tab.hears("/login?next=%2Fworkflows")
        for name in (HYDRATE, BOOT, LOAD, WATCH):
            tab.send(event(name))
        told = str(tab.heard(0.5))
    assert "delta" not in told
    assert pages.kept()["states"] == before


def test_the_sign_in_page_itself_is_led_nowhere(pages: Pages) -> None:
    with Tab(pages.url, boot=event(BOOT, "/login")) as tab:
        assert tab.heard(0.5) == []


def test_tabs_of_nobody_leave_nothing_behind_and_are_only_so_many(pages: Pages) -> None:
    before = pages.kept()
    tabs = [Tab(pages.url, boot=event(BOOT)) for _ in range(ANONYMOUS)]
    with pytest.raises(ConnectionError):
        Tab(pages.url, boot=event(BOOT))
    with Tab(pages.url, pages.sign_in(pages.ada), boot=event(BOOT)) as ours:
        ours.hears("is_hydrated")  # nobody's tabs keep nobody out who is signed in
    for tab in tabs:
        tab.close()
    eventually(lambda: pages.kept()["sockets"] == before["sockets"], seconds=20, what="all gone")
    assert pages.kept()["states"] <= before["states"] + 1
    Tab(pages.url).close()


def test_a_tabs_token_without_its_session_gives_nothing_of_it(pages: Pages, ada: str) -> None:
    execution = an_execution(pages)
    with Tab(pages.url, ada, boot=look_at(execution)) as tab:
        tab.hears(NAME)
    with Tab(pages.url, ada, token=tab.token, boot=event(BOOT, BARE)) as again:
        again.hears(NAME)  # with it, it is all there
    for other in (None, pages.sign_in(pages.eve), pages.sign_in(pages.ada)):
        for first in (HYDRATE, BOOT):
            with Tab(pages.url, other, token=tab.token, boot=event(first, BARE)) as stolen:
                assert NAME not in str(stolen.heard(0.5))


def test_a_client_cannot_say_by_itself_whose_session_it_is(pages: Pages, ada: str) -> None:
    with Tab(pages.url, ada, boot=look_at(an_execution(pages))) as tab:
        tab.hears(NAME)
    forged = {"QUERY_STRING": f"token={tab.token}", "asgi.scope": {"engine.session": digest(ada)}}
    for session in (None, pages.sign_in(pages.eve)):
        with Tab(pages.url, session, boot=event(BOOT, BARE)) as thief:
            thief.emit("connect", forged, {"event": event(BOOT, BARE)})
            thief.emit("disconnect", "x")
            thief.emit("link_token_to_sid", tab.token)
            thief.emit("event")
            thief.emit("event", event(BOOT), event(BOOT))
            assert NAME not in str(thief.heard(0.5))


def test_signing_out_wipes_what_is_kept_of_the_sessions_tabs(pages: Pages, ada: str) -> None:
    execution = an_execution(pages)
    before = pages.kept()["states"]
    with Tab(pages.url, ada, boot=look_at(execution)) as gone:
        gone.hears(NAME)
    with Tab(pages.url, ada, boot=look_at(execution)) as there:
        there.hears(NAME)
        assert pages.kept()["states"] == before + 2
        assert pages.browser(ada).post("/api/logout").status_code == 303
        there.hears(f"/login?next=%2Fexecutions%2F{execution}")
        eventually(
            lambda: pages.kept()["states"] == before, seconds=10, what="nothing is kept of it"
        )
        for name in (HYDRATE, BOOT, LOAD):
            there.send(event(name))
        there.got.clear()
        assert there.heard(0.5) == []
    eventually(lambda: pages.kept()["watchers"] == 0, seconds=10, what="nobody watches")
    assert pages.kept()["states"] == before


def test_a_session_that_ends_elsewhere_leads_its_tabs_to_sign_in(pages: Pages, ada: str) -> None:
    before = pages.kept()["states"]
    with Tab(pages.url, ada, boot=look_at(an_execution(pages))) as tab:
        tab.hears(NAME)
        pages.database.write(lambda c: users.close_session(c, digest(ada)))
        tab.hears("/login?next=%2Fexecutions")
        eventually(lambda: pages.kept()["states"] == before, seconds=10, what="it is wiped")


def test_only_so_many_tabs_of_a_session_are_kept_when_they_are_gone(pages: Pages) -> None:
    session = pages.sign_in(pages.ada)
    before = pages.kept()["states"]
    for _ in range(AWAY_OF_A_SESSION + 5):
        with Tab(pages.url, session, boot=event(BOOT)) as tab:
            tab.hears("is_hydrated")
    eventually(
        lambda: pages.kept()["states"] <= before + AWAY_OF_A_SESSION,
        seconds=10,
        what="the oldest are forgotten",
    )
    with Tab(pages.url, session, token=tab.token, boot=event(BOOT)) as last:
        last.hears("is_hydrated")


# --- who watches


def test_a_tab_has_one_watcher_and_it_goes_with_its_socket(pages: Pages, ada: str) -> None:
    with Tab(pages.url, ada, boot=event(BOOT)) as tab:
        tab.hears("is_hydrated")
        eventually(lambda: pages.kept()["watchers"] == 1, seconds=10, what="the page is watched")
        for name in (WATCH, LOAD, BOOT, handler(ExecutionState, "watch")):
            for _ in range(5):
                tab.send(event(name))
        tab.got.clear()
        tab.send(event(LOAD))
        tab.hears("is_hydrated")
        eventually(lambda: pages.kept()["watchers"] == 1, seconds=10, what="one, as before")
    eventually(lambda: pages.kept()["watchers"] == 0, seconds=10, what="none without the socket")


def test_a_copied_tab_gets_a_name_and_a_memory_of_its_own(pages: Pages, ada: str) -> None:
    with Tab(pages.url, ada, boot=look_at(an_execution(pages))) as first:
        first.hears(NAME)
        with Tab(pages.url, ada, token=first.token, boot=event(BOOT, BARE)) as copy:
            renamed = json.loads(copy.hears("new_token"))[1]
            assert NAME not in str(copy.heard(0.5))
        assert renamed != first.token
        with Tab(pages.url, ada, token=renamed, boot=event(BOOT)) as again:
            again.hears("is_hydrated")
            assert "new_token" not in str(again.got)


def test_a_change_reaches_every_tab_that_shows_it_and_is_there_when_one_returns(
    pages: Pages, ada: str, redis_url: str
) -> None:
    execution = an_execution(pages)
    with (
        Tab(pages.url, ada, boot=look_at(execution)) as one,
        Tab(pages.url, pages.sign_in(pages.ada), boot=look_at(execution)) as other,
    ):
        for tab in (one, other):
            tab.hears(NAME)
            tab.got.clear()
        look = lifecycle.pause(pages.database, owner_id=pages.ada, execution_id=execution)
        with redis.Redis.from_url(redis_url) as channel:
            publish(channel, {look})
        for tab in (one, other):
            tab.hears('"paused"')
    with Tab(pages.url, ada, token=one.token, boot=event(BOOT, BARE)) as again:
        again.hears('"paused"')
