"""What tabs that look at the same thing share: one reading, told to all of them at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import NotFound, Unavailable
from engine_app import asked, scenes, who
from engine_app.auth.viewer import Viewer
from engine_app.pubsub import hub
from engine_app.scenes import Picture, Scenes, Seat, Subject, changes

ADA, EVE = Viewer("1agt1yynhwbza", "ada"), Viewer("1agt1yynhwbzb", "eve")


class House:
    """Scenes over a database that is made up: what is read, for whom, and what was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.picture: Picture | Exception = Picture({"rows": 1}, still=True)
        self.reads: list[tuple[Viewer, frozenset[Any]]] = []
        self.counted = 0
        self.ended: set[str] = set()
        self.told: list[tuple[list[str], Mapping[str, Any]]] = []
        self.scenes = Scenes()
        self.scenes.tell = self._hear
        self._lock = threading.Lock()
        for module in (scenes, who):
            monkeypatch.setattr(module, "database", lambda: SimpleNamespace(now=lambda: 7))
            monkeypatch.setattr(module, "of_sessions", self._of_sessions)
        monkeypatch.setattr(scenes, "who", who.Who())
        monkeypatch.setattr(scenes, "asked", asked.Asked())
        monkeypatch.setattr(asked, "database", lambda: SimpleNamespace(read=self._count))
        monkeypatch.setattr(hub, "connected", True)
        monkeypatch.setattr(scenes, "BEAT_SECONDS", 0.02)
        monkeypatch.setattr(scenes, "_LEAST_GAP", 0.0)

    def subject(self, about: str = "x") -> Subject:
        return Subject("page", "frame", about, lambda _: (about,), self._read)

    def seat(self, ident: str, viewer: Viewer = ADA, choice: Any = None) -> Any:
        return self.scenes.seat(
            self.subject(), viewer, ident=ident, session=f"of {ident}", choice=choice
        )

    def heard(self, ident: str, name: str) -> list[Any]:
        """Return what a tab was told of a variable."""
        return [
            told["page"][name]
            for idents, told in self.told
            if ident in idents and name in told.get("page", {})
        ]

    def _read(self, viewer: Viewer, choices: frozenset[Any]) -> Picture:
        with self._lock:
            self.reads.append((viewer, choices))
        if isinstance(self.picture, Exception):
            raise self.picture
        return self.picture

    def _of_sessions(self, _database: object, sessions: Any) -> dict[str, Viewer]:
        return {session: ADA for session in sessions if session not in self.ended}

    def _count(self, _query: object) -> Any:
        self.counted += 1
        return SimpleNamespace(rows=[1, 2, 3])

    async def _hear(self, idents: list[str], told: Mapping[str, Any]) -> None:
        self.told.append((idents, told))


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Scenes whose beats come every 20 ms."""
    return House(monkeypatch)  # type: ignore[return-value]  # nothing to end


def play(scene: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await scene

    asyncio.run(limited())


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await asyncio.sleep(0.002)


async def sit(seat: Seat, filled: dict[str, Any] | None = None) -> None:
    """Show the picture as a tab does that is not in step."""
    await seat.wake.wait()
    seat.wake.clear()
    if filled is not None:
        seat.fill = lambda page, frame: filled.update({**page, **frame})
    seat.settle(seat.scene.view, seat.scene.view.values(seat.choice))


async def seated(house: House, stack: ExitStack, *idents: str) -> list[Seat]:
    """Return seats of tabs that are in step."""
    seats = [stack.enter_context(house.seat(ident)) for ident in idents]
    for seat in seats:
        while not seat.in_step:
            await sit(seat)
    return seats


def test_a_hundred_tabs_that_look_at_the_same_are_one_reading_and_one_message(
    house: House,
) -> None:
    async def scene() -> None:
        with ExitStack() as stack:
            await seated(house, stack, *map(str, range(100)))
            assert len(house.reads) == 1
            house.picture = Picture({"rows": 2}, still=True)
            hub.ring("x")
            await until(lambda: house.heard("99", "rows"))
            assert len(house.reads) == 2
            (heard,) = [idents for idents, told in house.told if "rows" in told.get("page", {})]
            assert len(heard) == 100

    play(scene())


def test_nothing_is_read_while_nothing_rings_and_every_tab_knows_it_is_live(house: House) -> None:
    async def scene() -> None:
        with ExitStack() as stack:
            await seated(house, stack, "a", "b")
            await until(lambda: len(house.heard("b", "beat")) > 5)
        assert (len(house.reads), house.counted) == (1, 1)

    play(scene())


def test_another_persons_tabs_are_read_for_by_themselves(house: House) -> None:
    async def scene() -> None:
        with house.seat("a", ADA), house.seat("e", EVE):
            await until(lambda: len(house.reads) == 2)
        assert {viewer for viewer, _ in house.reads} == {ADA, EVE}

    play(scene())


def test_what_is_open_is_read_again_in_a_while_although_nothing_rang(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "UNRUNG_SECONDS", 0.05)
    house.picture = Picture({"rows": 1})

    async def scene() -> None:
        with ExitStack() as stack:
            await seated(house, stack, "a")
            await until(lambda: len(house.reads) > 2)

    play(scene())


def test_without_the_live_channel_a_page_is_read_at_every_beat(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "connected", False)

    async def scene() -> None:
        with ExitStack() as stack:
            await seated(house, stack, "a")
            await until(lambda: len(house.reads) > 3)

    play(scene())


def test_only_what_changed_is_told_and_of_lists_that_grow_only_what_is_new(house: House) -> None:
    growing = frozenset({"lines"})
    house.picture = Picture({"rows": 1, "lines": [[1], [2]]}, growing=growing, still=True)

    async def scene() -> None:
        with ExitStack() as stack:
            await seated(house, stack, "a")
            house.picture = Picture(
                {"rows": 1, "lines": [[1], [2], [3]]}, growing=growing, still=True
            )
            hub.ring("x")
            await until(lambda: house.heard("a", "lines"))
        assert house.heard("a", "lines") == [[[3]]]
        assert house.heard("a", "rows") == []

    play(scene())


def test_what_is_kept_of_a_tab_is_what_it_was_told(house: House) -> None:
    filled: dict[str, Any] = {}

    async def scene() -> None:
        with house.seat("a") as seat:
            await sit(seat, filled)
            house.picture = Picture({"rows": 2}, still=True)
            hub.ring("x")
            await until(lambda: house.heard("a", "rows"))
        assert filled["rows"] == 2

    play(scene())


def test_tabs_that_chose_differently_share_the_reading_and_are_told_their_own(
    house: House,
) -> None:
    house.picture = Picture({}, chosen={"s": {"picked": 1}, "t": {"picked": 10}}, still=True)

    async def scene() -> None:
        with house.seat("a", choice="s") as one, house.seat("b", choice="t") as other:
            while not (one.in_step and other.in_step):
                await sit(one)
                await sit(other)
            before = len(house.reads)
            house.picture = Picture({}, chosen={"s": {"picked": 2}, "t": {"picked": 20}})
            hub.ring("x")
            await until(lambda: house.heard("b", "picked"))
        assert (house.heard("a", "picked"), house.heard("b", "picked")) == ([2], [20])
        assert len(house.reads) == before + 1
        assert house.reads[-1][1] == {"s", "t"}

    play(scene())


def test_choosing_what_nobody_shows_is_read_at_once(house: House) -> None:
    house.picture = Picture({}, chosen={"s": {"picked": 1}}, still=True)

    async def scene() -> None:
        with house.seat("a", choice="s") as seat:
            while not seat.in_step:
                await sit(seat)
            house.picture = Picture({}, chosen={"t": {"picked": 9}}, still=True)
            seat.choose("t")
            while not seat.in_step:
                await sit(seat)
            assert seat.page["picked"] == 9

    play(scene())


def test_what_must_be_merged_with_what_was_typed_each_tab_shows_itself(house: House) -> None:
    house.picture = Picture({"rows": 1}, own=["first"], still=True)

    async def scene() -> None:
        with ExitStack() as stack:
            (seat,) = await seated(house, stack, "a")
            house.picture = Picture({"rows": 2}, own=["second"], still=True)
            hub.ring("x")
            await seat.wake.wait()
            assert not seat.in_step
            assert house.heard("a", "rows") == []
            assert seat.scene.view.picture.own == ["second"]

    play(scene())


def test_a_session_that_is_over_is_told_nothing_more(house: House) -> None:
    async def scene() -> None:
        with ExitStack() as stack:
            gone, there = await seated(house, stack, "a", "b")
            house.ended.add(gone.session)
            house.picture = Picture({"rows": 2}, still=True)
            hub.ring("x")
            await until(lambda: house.heard("b", "rows"))
            assert (gone.over, there.over) == (True, False)
            assert house.heard("a", "rows") == []

    play(scene())


def test_a_session_that_is_over_is_noticed_although_nothing_rings(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(who, "_FRESH_SECONDS", 0.0)

    async def scene() -> None:
        with ExitStack() as stack:
            (gone,) = await seated(house, stack, "a")
            house.ended.add(gone.session)
            await until(lambda: gone.over)
        assert len(house.reads) == 1

    play(scene())


@pytest.mark.parametrize("error", [Unavailable("the database is away"), KeyError("a bug")])
def test_a_failed_reading_is_told_and_tried_again(
    house: House, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "FAILED_SECONDS", 0.01)

    async def scene() -> None:
        with ExitStack() as stack:
            await seated(house, stack, "a")
            good, house.picture = house.picture, error
            hub.ring("x")
            await until(lambda: house.heard("a", "trouble"))
            house.picture = good
            await until(lambda: house.heard("a", "trouble")[-1] == "")
            assert house.heard("a", "trouble")[0]

    play(scene())


def test_a_page_that_cannot_be_read_sleeps_however_often_it_rings(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "FAILED_SECONDS", 0.1)
    house.picture = Unavailable("the database is away")

    async def scene() -> None:
        with house.seat("a"):
            begun = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() - begun < 0.35:
                hub.ring("x")
                await asyncio.sleep(0)
        assert 1 < len(house.reads) <= 5

    play(scene())


def test_what_is_not_there_is_missing_and_no_trouble(house: House) -> None:
    house.picture = NotFound("none")

    async def scene() -> None:
        with house.seat("a") as seat:
            await until(lambda: seat.scene.view.page.get("missing"))
            assert seat.scene.view.page["trouble"] == ""

    play(scene())


def test_a_scene_that_nobody_looks_at_is_read_no_more(house: House) -> None:
    async def scene() -> None:
        with ExitStack() as stack:
            await seated(house, stack, "a", "b")
        hub.ring("x")
        await asyncio.sleep(0.05)
        assert len(house.reads) == 1
        assert "x" not in hub._bells

    play(scene())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"g": [[1], [2]]}, {"g": [[2], [3], [4]]}, {"g": [[3], [4]]}),
        ({"g": [[2]]}, {"g": [[2]]}, {}),
        ({"g": []}, {"g": [[1]]}, {"g": [[1]]}),
    ],
)
def test_changes_are_what_differs(
    old: dict[str, Any], new: dict[str, Any], told: dict[str, Any]
) -> None:
    assert changes(old, new, frozenset({"g"})) == told
