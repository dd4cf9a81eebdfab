"""How a tab follows the engine: what it shows, when reading fails, when a session ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import NotFound, Unavailable
from engine_app import asked, scenes, who
from engine_app.auth.viewer import Viewer
from engine_app.pubsub import hub
from engine_app.scenes import Picture
from engine_app.states.base import Follow, Session
from engine_app.tabs import tabs

TAB = tabs.arrive("digest-of-the-secret", "token", "socket")
ADA = Viewer("1agt1yynhwbza", "ada")


class _Frame:
    def __init__(self) -> None:
        self.user, self.asked = "", 0


class _Tab:
    """A tab's state without Reflex: what ``Follow`` asks of one."""

    def __init__(self) -> None:
        self.loaded = self.missing = self.behind = False
        self.trouble = ""
        self.beat = 0
        self.rows = ""
        self.merged: list[Any] = []
        self.session = _Frame()
        self.router = SimpleNamespace(
            session=SimpleNamespace(client_token=TAB.ident),
            url=SimpleNamespace(path="/monitoring", query="q=1"),
        )

    async def __aenter__(self) -> _Tab:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get_state(self, kind: object) -> Any:
        assert kind is Session
        return self.session

    def get_full_name(self) -> str:
        return "page"

    def _set(self, **values: Any) -> None:
        self.__dict__.update(values)


@pytest.fixture
def valid(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the database says of the session, time after time; the last one stays."""
    answers: list[Any] = [{TAB.session: ADA}]

    def of_sessions(_database: object, _sessions: object) -> dict[str, Viewer]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    for module in (scenes, who):
        monkeypatch.setattr(module, "database", lambda: SimpleNamespace(now=lambda: 7))
        monkeypatch.setattr(module, "of_sessions", of_sessions)
    page = SimpleNamespace(rows=[1, 2, 3])
    monkeypatch.setattr(asked, "database", lambda: SimpleNamespace(read=lambda _query: page))
    monkeypatch.setattr(asked.asked, "_told", {})
    monkeypatch.setattr(who, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(scenes, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(scenes, "FAILED_SECONDS", 0.01)
    monkeypatch.setattr(hub, "connected", True)
    return answers


def _follow(tab: _Tab, read: Callable[[], Any], until: Callable[[], object]) -> list[str]:
    """Follow until something holds or the page ends; return the sessions that were over."""
    told: list[str] = []

    def picture(_viewer: Viewer, _choices: object) -> Picture:
        found = read()
        return found if isinstance(found, Picture) else Picture({"rows": found}, still=True)

    async def scene() -> None:
        tabs.listener = told.append
        follow = Follow(tab, "x", lambda _: ("t",), lambda: picture, tab.merged.append)
        task = asyncio.create_task(follow.run())
        async with asyncio.timeout(5):
            while not (task.done() or until()):
                await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    return told


def _failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def read() -> str:
        if left:
            raise left.pop(0)
        return "rows"

    return read


@pytest.mark.usefixtures("valid")
def test_what_is_read_is_shown_with_a_beat_and_what_stands_around_the_page() -> None:
    tab = _Tab()
    _follow(tab, _failing(), lambda: tab.loaded)
    assert (tab.rows, tab.beat, tab.session.user, tab.session.asked) == ("rows", 7, "ada", 3)


@pytest.mark.usefixtures("valid")
def test_what_was_typed_is_merged_once_for_each_thing_that_is_read() -> None:
    tab, read = _Tab(), iter(["first", "first", "second"])
    last: list[Picture] = []

    def picture() -> Picture:
        last.append(Picture({}, own=next(read, "second")))
        return last[-1]

    def shown() -> bool:
        hub.ring("t")
        return tab.merged == ["first", "second"]

    _follow(tab, picture, shown)
    assert tab.merged == ["first", "second"]


@pytest.mark.parametrize("error", [Unavailable("the database is away"), KeyError("a bug")])
@pytest.mark.usefixtures("valid")
def test_a_failed_reading_is_told_and_tried_again(error: Exception) -> None:
    tab, told = _Tab(), []

    def shown() -> bool:
        told.append(tab.trouble)
        return tab.loaded

    _follow(tab, _failing(error), shown)
    assert any(told)
    assert tab.trouble == ""


def test_a_page_opened_while_the_database_is_away_says_so_and_is_there_when_it_is_back(
    valid: list[Any],
) -> None:
    tab, told = _Tab(), []
    valid[:0] = [Unavailable("the database is away")] * 3

    def shown() -> bool:
        told.append(tab.trouble)
        return tab.loaded

    assert _follow(tab, _failing(), shown) == []
    assert "the database is away" in told
    assert tab.trouble == ""


@pytest.mark.usefixtures("valid")
def test_what_is_not_there_is_missing_and_no_trouble() -> None:
    tab = _Tab()
    _follow(tab, _failing(*[NotFound("none")] * 100), lambda: tab.missing)
    assert (tab.loaded, tab.trouble) == (True, "")


@pytest.mark.parametrize("first", [[], [{TAB.session: ADA}]])
def test_a_session_that_is_over_is_told_and_followed_no_more(
    valid: list[Any], first: list[Any]
) -> None:
    valid[:] = [*first, {}]
    assert _follow(_Tab(), _failing(), lambda: False) == [TAB.session]


@pytest.mark.usefixtures("valid")
def test_a_bug_in_a_page_leaves_no_secret_in_the_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tab = _Tab()
    _follow(tab, _failing(KeyError("a bug")), lambda: tab.loaded)
    said = "".join(capfd.readouterr()) + caplog.text
    assert "KeyError: 'a bug'" in said
    assert TAB.session not in said
    assert TAB.ident not in said


@pytest.mark.usefixtures("valid")
def test_a_tab_is_touched_now_and_then_or_it_would_be_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine_app.states.base.TOUCH_SECONDS", 0.01)
    touched: list[None] = []

    class _Held(_Tab):
        async def __aenter__(self) -> _Tab:
            touched.append(None)
            return self

    tab = _Held()
    _follow(tab, _failing(), lambda: tab.loaded and len(touched) > 6)
    assert len(touched) > 6


def test_what_is_chosen_before_the_tab_has_its_place_is_shown(
    valid: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tab, seen = _Tab(), []
    chosen = ["first"]

    def of_sessions(_database: object, _sessions: object) -> dict[str, Viewer]:
        chosen[0] = "clicked"  # while the database is asked whose the session is
        return dict(valid[0])

    def picture(_viewer: Viewer, choices: frozenset[Any]) -> Picture:
        seen.append(choices)
        return Picture({}, chosen={one: {"rows": one} for one in choices}, still=True)

    async def scene() -> None:
        follow = Follow(tab, "x", lambda _: ("t",), lambda: picture, choice=lambda: chosen[0])
        task = asyncio.create_task(follow.run())
        async with asyncio.timeout(5):
            while not tab.rows:
                await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    monkeypatch.setattr(who, "of_sessions", of_sessions)
    asyncio.run(scene())
    assert tab.rows == "clicked"
    assert seen[0] == {"clicked"}
