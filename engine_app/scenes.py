"""What all tabs see that look at the same thing: read once when something rang, told to all.

A tab that shows what the others show is *in step*: a change is compared, encoded and put on the
way for all of them together, past Reflex's own bookkeeping, which takes some milliseconds a tab.
What it keeps of the tab is brought up to date beside that, so that an event of the tab, or its
return, finds what is on screen. A tab that is not in step (it has just come, it has chosen
something else, what changed must be merged with what was typed in it) shows the picture itself,
and is in step from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from engine.errors import EngineError, NotFound
from engine_app.asked import asked
from engine_app.auth.viewer import Viewer, of_sessions
from engine_app.db_access import database, in_thread
from engine_app.pubsub import Subscription, hub
from engine_app.who import who

BEAT_SECONDS = 2.0  # between two signs of life; a page says "stale" after 5 s without one
# While something moves a page is read this often although nothing rang: a word may be lost.
UNRUNG_SECONDS = 5.0
FAILED_SECONDS = 0.5  # after a failure, however often the bell rings
_LEAST_GAP = 0.03  # between two readings
_SHARE = 2  # a scene is read for half of the time at most: others want to be read too

_log = logging.getLogger(__name__)

Values = Mapping[str, Any]  # variables of a page's state


@dataclass(frozen=True)
class Picture:
    """One reading of a page.

    Attributes:
        shared: what all tabs show.
        chosen: what those show that have chosen something, by choice.
        own: what each tab merges by itself with what was typed in it.
        growing: lists of which only new rows are told; each row begins with its number.
        still: only a ring can bring news.
    """

    shared: Values
    chosen: Mapping[Hashable, Values] = field(default_factory=dict)
    own: Any = None
    growing: frozenset[str] = frozenset()
    still: bool = False


@dataclass(frozen=True)
class View:
    """What a scene shows now: a picture, or why there is none, and what is around the page."""

    number: int = 0  # 0: nothing was read yet
    page: Values = field(default_factory=dict)
    frame: Values = field(default_factory=dict)
    picture: Picture = field(default_factory=lambda: Picture({}))

    def values(self, choice: Hashable) -> Values:
        """Return the page's variables as a tab with that choice shows them."""
        return {**self.page, **self.picture.chosen.get(choice, {})}

    def has(self, choice: Hashable) -> bool:
        """Return whether that choice was read."""
        return choice is None or choice in self.picture.chosen


def changes(old: Values, new: Values, growing: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the variables that differ, of ``growing`` lists the rows after the last old one."""
    found = {}
    for name, value in new.items():
        if name not in growing:
            if name not in old or old[name] != value:
                found[name] = value
            continue
        rows = old.get(name)
        fresh = [row for row in value if row[0] > rows[-1][0]] if rows else value
        if fresh:
            found[name] = fresh
    return found


@dataclass(frozen=True)
class Subject:
    """What a page shows, and how it is read: all tabs with an equal ``about`` share a scene.

    Attributes:
        page: the full name of the page's state.
        frame: that of what is around the page.
        about: what tells it from other pages of that kind.
        topics: found on a thread, ring for it.
        read: run on a thread, one at a time, for the viewer and what the tabs have chosen.
    """

    page: str
    frame: str
    about: Hashable
    topics: Callable[[Viewer], tuple[str, ...]] = field(compare=False)
    read: Callable[[Viewer, frozenset[Any]], Picture] = field(compare=False)


class Seat:
    """One tab's place in a scene. Its owner waits for ``wake``, shows ``scene.view``, settles."""

    def __init__(self, scene: Scene, ident: str, session: str, choice: Hashable) -> None:
        self.scene, self.ident, self.session, self.choice = scene, ident, session, choice
        self.wake = asyncio.Event()
        self.in_step = False
        self.over = False  # the session is
        self.page: Values = {}  # what the tab shows
        self.frame: Values = {}
        self.own: Any = None
        self.fill: Callable[[Values, Values], None] = lambda page, frame: None
        if scene.view.number:
            self.wake.set()

    def choose(self, choice: Hashable) -> None:
        """Show something else from now on."""
        self.choice, self.in_step = choice, False
        self.wake.set()
        if not self.scene.view.has(choice):
            self.scene.ring()

    def settle(self, view: View, page: Values) -> None:
        """Say that the tab shows ``page`` of ``view``: in step, unless there is another by now."""
        self.page, self.frame = page, view.frame
        self.in_step = view is self.scene.view and view.has(self.choice)
        if view is not self.scene.view:
            self.wake.set()


class Scene:
    """One subject, for one viewer, as long as a tab looks at it."""

    def __init__(self, subject: Subject, viewer: Viewer, scenes: Scenes) -> None:
        self.view = View()
        self.seats: set[Seat] = set()
        self._subject, self._viewer, self._scenes = subject, viewer, scenes
        self._bell: Subscription | None = None
        self._read_at = 0.0
        self._task = asyncio.get_running_loop().create_task(self._play())

    def ring(self) -> None:
        """Read again now."""
        if self._bell is not None:
            self._bell.ring()

    def close(self) -> None:
        """Read no more."""
        self._task.cancel()

    async def _play(self) -> None:
        with ExitStack() as stack:
            rung, took = True, 0.0
            while True:
                begun = time.monotonic()
                try:
                    if self._bell is None:
                        topics = await in_thread(lambda: self._subject.topics(self._viewer))
                        self._bell = stack.enter_context(hub.subscribe(*topics))
                    await self._turn(rung=rung)
                except EngineError as error:
                    await self._fail(error)
                except Exception:
                    # A page that stops following for good would show old rows as if they were new.
                    _log.exception("a page could not be read")
                    await self._fail(EngineError("this is a fault of the engine; its log tells"))
                else:
                    took = time.monotonic() - begun
                if self._bell is None:
                    await asyncio.sleep(BEAT_SECONDS)
                else:
                    gap = max(_LEAST_GAP, _SHARE * took)
                    rung = await self._bell.wait(BEAT_SECONDS, gap=gap)

    async def _turn(self, *, rung: bool) -> None:
        """Read and tell; when nothing can be new only that the page is alive."""
        sessions = frozenset(seat.session for seat in self.seats)
        if not (rung or self._is_due()):
            self._dismiss(sessions - (await who.known(sessions)).keys())
            known_count = asked.known(self._viewer)
            if known_count is None:
                known_count = await in_thread(lambda: asked.count(self._viewer))
            page = {**self.view.page, "beat": who.now()}
            await self._show(page, self._frame(known_count), self.view.picture)
            return
        choices = frozenset(seat.choice for seat in self.seats)
        now, known, count, found = await in_thread(lambda: self._look(sessions, choices))
        self._dismiss(sessions - known.keys())
        if isinstance(found, EngineError):
            raise found
        self._read_at = time.monotonic()
        said = {"loaded": True, "missing": False, "trouble": "", "beat": now}
        await self._show({**found.shared, **said}, self._frame(count), found)

    def _is_due(self) -> bool:
        if not self.view.number or self.view.page.get("trouble") or not hub.connected:
            return True
        old = time.monotonic() - self._read_at
        return not self.view.picture.still and old >= UNRUNG_SECONDS

    def _look(
        self, sessions: frozenset[str], choices: frozenset[Any]
    ) -> tuple[int, Mapping[str, Viewer], int, Picture | EngineError]:
        """Return the time, whose the sessions are, how many approvals wait, and the picture."""
        now, known = database().now(), of_sessions(database(), sessions)
        count = asked.known(self._viewer)
        if count is None:
            count = asked.count(self._viewer)
        try:
            return now, known, count, self._subject.read(self._viewer, choices)
        except EngineError as error:
            return now, known, count, error

    def _frame(self, count: int) -> Values:
        return {"user": self._viewer.name, "asked": count}

    def _dismiss(self, ended: frozenset[str]) -> None:
        """Tell the tabs of sessions that are over nothing more."""
        for seat in self.seats:
            if seat.session in ended:
                seat.over, seat.in_step = True, False
                seat.wake.set()

    async def _fail(self, error: EngineError) -> None:
        page = dict(self.view.page)
        if isinstance(error, NotFound):
            page |= {"missing": True, "loaded": True, "trouble": "", "beat": who.now()}
        else:
            page["trouble"] = str(error)
        await self._show(page, self.view.frame, self.view.picture)
        await asyncio.sleep(FAILED_SECONDS)

    async def _show(self, page: Values, frame: Values, picture: Picture) -> None:
        """Tell the tabs in step what changed, and wake the others."""
        merged = picture.own != self.view.picture.own
        self.view = view = View(self.view.number + 1, page, frame, picture)
        groups: dict[Hashable, list[Seat]] = defaultdict(list)
        for seat in self.seats:
            if seat.over:
                continue
            if seat.in_step and not merged and view.has(seat.choice):
                groups[seat.choice].append(seat)
            else:
                seat.in_step = False
                seat.wake.set()
        for choice, seats in groups.items():
            await self._tell(seats, view, view.values(choice))

    async def _tell(self, seats: list[Seat], view: View, page: Values) -> None:
        """Tell tabs that show the same what is new."""
        growing = view.picture.growing
        change = changes(seats[0].page, page, growing)
        around = changes(seats[0].frame, view.frame)
        kept = {name: value for name, value in change.items() if name not in growing}
        for seat in seats:
            seat.page, seat.frame = page, view.frame
            seat.fill(kept, around)
        told = {self._subject.page: change, self._subject.frame: around}
        await self._scenes.tell(
            [seat.ident for seat in seats], {name: some for name, some in told.items() if some}
        )


async def _nobody(_idents: list[str], _told: Mapping[str, Values]) -> None:
    """Tell nobody: there is no live channel."""


class Scenes:
    """All scenes of this process. Of the event loop's thread only.

    Attributes:
        tell: sends changes, by the full names of their states, to tabs.
    """

    def __init__(self) -> None:
        self.tell: Callable[[list[str], Mapping[str, Values]], Awaitable[None]] = _nobody
        self._open: dict[tuple[Subject, Viewer], Scene] = {}
        self._seats: dict[str, Seat] = {}

    @contextlib.contextmanager
    def seat(
        self, subject: Subject, viewer: Viewer, *, ident: str, session: str, choice: Hashable
    ) -> Iterator[Seat]:
        """Yield a tab's place in the scene of a subject until the block is left."""
        key = (subject, viewer)
        scene = self._open.get(key)
        if scene is None:
            scene = self._open[key] = Scene(subject, viewer, self)
        seat = self._seats[ident] = Seat(scene, ident, session, choice)
        scene.seats.add(seat)
        if not scene.view.has(choice):
            scene.ring()
        try:
            yield seat
        finally:
            scene.seats.discard(seat)
            if self._seats.get(ident) is seat:
                del self._seats[ident]
            if not scene.seats:
                scene.close()
                if self._open.get(key) is scene:
                    del self._open[key]

    def of(self, ident: str) -> Seat | None:
        """Return the place of a tab, while it looks at a scene."""
        return self._seats.get(ident)


scenes = Scenes()
