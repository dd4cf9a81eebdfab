"""How a page follows the engine when reading fails, finds nothing, or the session ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import NotFound, Unavailable
from engine_app.auth.viewer import Viewer
from engine_app.live import hub
from engine_app.states import base
from engine_app.states.base import Follow
from engine_app.tabs import tabs

TAB = tabs.arrive("digest-of-the-secret", "token", "socket")


class _Tab:
    """A tab's state without Reflex: what ``Follow`` asks of one."""

    def __init__(self) -> None:
        self.loaded = self.missing = self.behind = self._still = False
        self.trouble = ""
        self.beat = 0
        self._topics: tuple[str, ...] = ()
        self.shown: list[Any] = []
        self.session = SimpleNamespace(user="", asked=0)
        self.router = SimpleNamespace(
            session=SimpleNamespace(client_token=TAB.ident),
            url=SimpleNamespace(path="/monitoring", query="q=1"),
        )

    async def __aenter__(self) -> _Tab:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get_state(self, _kind: object) -> Any:
        return self.session

    def _set(self, **values: Any) -> None:
        self.__dict__.update(values)


@pytest.fixture
def viewers(monkeypatch: pytest.MonkeyPatch) -> list[Viewer | None]:
    """Who is looking at each turn; the last one stays."""
    found: list[Viewer | None] = [Viewer("1agt1yynhwbza", "ada")]
    monkeypatch.setattr(
        base, "viewer_of", lambda _session: found.pop(0) if len(found) > 1 else found[0]
    )
    monkeypatch.setattr(base, "database", lambda: SimpleNamespace(now=lambda: 7))
    monkeypatch.setattr(base, "asked_of", lambda _viewer: 3)
    monkeypatch.setattr(base, "BEAT_SECONDS", 0.01)
    return found


def _follow(tab: _Tab, read: Callable[[Viewer], Any], until: Callable[[], bool]) -> list[str]:
    """Follow until something holds or the page ends; return the sessions that were over."""
    follow = Follow(tab, lambda _: ("t",), lambda: read, tab.shown.append)
    told: list[str] = []

    async def scene() -> None:
        tabs.listener = told.append
        task = asyncio.create_task(follow.run())
        async with asyncio.timeout(5):
            while not (task.done() or until()):
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    return told


def _failing(*errors: Exception) -> Callable[[Viewer], str]:
    left = list(errors)

    def read(_viewer: Viewer) -> str:
        if left:
            raise left.pop(0)
        return "rows"

    return read


@pytest.mark.usefixtures("viewers")
def test_what_is_read_is_shown_with_a_beat() -> None:
    tab = _Tab()
    _follow(tab, _failing(), lambda: bool(tab.shown))
    assert (tab.shown[0], tab.loaded, tab.beat, tab.session.user) == ("rows", True, 7, "ada")


@pytest.mark.usefixtures("viewers")
def test_every_page_tells_how_many_approvals_wait() -> None:
    tab = _Tab()
    _follow(tab, _failing(), lambda: tab.session.asked > 0)
    assert tab.session.asked == 3


@pytest.mark.usefixtures("viewers")
@pytest.mark.parametrize("error", [Unavailable("the database is away"), KeyError("a bug")])
def test_a_failed_reading_is_told_and_tried_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab, told = _Tab(), []
    fail = Follow._fail

    async def noted(self: Follow[Any], failure: Any) -> None:
        await fail(self, failure)
        told.append(tab.trouble)

    monkeypatch.setattr(Follow, "_fail", noted)
    _follow(tab, _failing(error), lambda: bool(tab.shown))
    assert told
    assert all(told)
    assert tab.trouble == ""


@pytest.mark.usefixtures("viewers")
def test_what_is_not_there_is_missing_and_no_trouble() -> None:
    tab = _Tab()
    _follow(tab, _failing(*[NotFound("none")] * 100), lambda: tab.missing)
    assert (tab.loaded, tab.trouble) == (True, "")


def test_a_session_that_is_over_is_told_and_followed_no_more(viewers: list[Viewer | None]) -> None:
    viewers.append(None)
    assert _follow(_Tab(), _failing(), lambda: False) == [TAB.session]


@pytest.mark.usefixtures("viewers")
def test_a_bug_in_a_page_leaves_no_secret_in_the_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tab = _Tab()
    _follow(tab, _failing(KeyError("a bug")), lambda: bool(tab.shown))
    said = "".join(capfd.readouterr()) + caplog.text
    assert "KeyError: 'a bug'" in said
    assert TAB.session not in said
    assert TAB.ident not in said


@pytest.mark.usefixtures("viewers")
def test_a_page_on_which_nothing_moves_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "connected", True)
    tab, beats = _Tab(), []
    tab._still = True

    def turned() -> bool:
        beats.append(tab.beat)
        return len(beats) > 20

    _follow(tab, _failing(), turned)
    assert len(tab.shown) == 1


@pytest.mark.usefixtures("viewers")
def test_without_the_live_channel_a_page_is_read_at_every_beat() -> None:
    tab = _Tab()
    tab._still = True
    _follow(tab, _failing(), lambda: len(tab.shown) > 3)
    assert len(tab.shown) > 3
