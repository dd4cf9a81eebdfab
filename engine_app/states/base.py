"""What every page's state shares: who is looking, and how it follows the engine.

Reflex lets any client call every public method of a state. So helpers start with ``_``, each
handler is named in ``engine_app.event_allowlist`` and each query carries the viewer's own id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import reflex as rx
from reflex.state import BaseState

from engine.errors import EngineError
from engine_app import scenes as stage
from engine_app.auth.viewer import Viewer, of_session
from engine_app.db_access import database
from engine_app.scenes import Picture, Seat, Subject, Values, changes, scenes
from engine_app.tabs import tabs
from engine_app.who import who

LOGIN = "/login"
_LONGEST = 2000  # characters of a part of an address: a cursor may have a name in it
TOUCH_SECONDS = 600.0  # between two touches of a tab: Reflex forgets one after an hour


class Session(rx.State):
    """Who is signed in, for the frame around the pages."""

    user: str = ""
    asked: int = 0  # how many approvals wait for them


def ident_of(state: BaseState) -> str:
    """Return what the tab's memory is kept under."""
    return state.router.session.client_token


def session_of(state: BaseState) -> str | None:
    """Return the digest of the secret of the session that the tab belongs to, until it is over."""
    tab = tabs.find(ident_of(state))
    return None if tab is None else tab.session


def viewer_of(session: str | None) -> Viewer | None:
    """Return who is looking, asked of the database now: signing out works at once."""
    return None if session is None else of_session(database(), session)


def to_login(state: BaseState) -> Any:
    """Return the event that leads to the sign-in page and back."""
    url = state.router.url
    return rx.redirect(login_path(url.path + (f"?{url.query}" if url.query else "")))


def login_path(asked: str) -> str:
    """Return the address of the sign-in page that leads back to ``asked``."""
    return f"{LOGIN}?next={quote(asked, safe='')}"


def query_of(state: BaseState, name: str) -> str:
    """Return a parameter of the page's address, as far as a database can be asked for it."""
    return askable(state.router.url.query_parameters.get(name), _LONGEST)


def askable(typed: Any, longest: int = 200) -> str:
    """Return what was typed as a database can be asked for it: trimmed, without NUL."""
    return str(typed or "").replace("\0", "").strip()[:longest]


class Following(rx.State, mixin=True):
    """What every live page shows of itself: whether it has read, failed, found nothing."""

    loaded: bool = False
    missing: bool = False
    trouble: str = ""
    behind: bool = False
    beat: int = 0
    turn: int = 0  # counts what was answered: buttons that wait for it live again

    @rx.event
    def look_again(self) -> None:
        """Read now: the answer to trouble."""
        seat = scenes.of(ident_of(self))
        if seat is not None:
            seat.scene.ring()

    def _set(self, **values: Any) -> None:
        """Set what changed: an equal value must not travel again."""
        for name, value in values.items():
            if getattr(self, name) != value:
                setattr(self, name, value)


def choose(state: BaseState, choice: Hashable) -> None:
    """Have the tab shown something else of its page."""
    seat = scenes.of(ident_of(state))
    if seat is not None:
        seat.choose(choice)


@dataclass
class Follow:
    """How a tab follows the engine: as one of those that look at the same scene.

    Attributes:
        state: of the page.
        about: what the page shows; tabs of one viewer with an equal one share each reading.
        topics: found on a thread, ring for it.
        read: makes what reads it, for a scene that nobody looks at yet.
        own: with the state held, merges a picture's ``own`` with what was typed.
        choice: tells, with the state held, what of the page the tab shows. Asked as the tab takes
            its place: what is chosen before that, while the session is looked up, must count.
    """

    state: Any
    about: Hashable
    topics: Callable[[Viewer], tuple[str, ...]]
    read: Callable[[], Callable[[Viewer, frozenset[Any]], Picture]]
    own: Callable[[Any], None] = lambda _own: None
    choice: Callable[[], Hashable] = lambda: None

    async def run(self) -> None:
        """Show until the session is over; cancelled when the page is left."""
        async with self.state:
            session, ident = session_of(self.state) or "", ident_of(self.state)
        viewer = await self._viewer(session)
        if viewer is not None:
            page, frame = self.state.get_full_name(), Session.get_full_name()
            subject = Subject(page, frame, self.about, self.topics, self.read())
            with ExitStack() as stack:
                async with self.state:
                    choice = self.choice()
                    place = scenes.seat(
                        subject, viewer, ident=ident, session=session, choice=choice
                    )
                    seat = stack.enter_context(place)
                while not seat.over:
                    await self._sit(seat)
        tabs.over(session)

    async def _viewer(self, session: str) -> Viewer | None:
        """Return who is looking, as soon as the database tells."""
        while True:
            try:
                return (await who.known(frozenset({session}))).get(session)
            except EngineError as error:
                async with self.state:
                    self.state._set(trouble=str(error))
            await asyncio.sleep(stage.BEAT_SECONDS)

    async def _sit(self, seat: Seat) -> None:
        """Wait until the tab has something to show by itself, and show it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TOUCH_SECONDS):
                await seat.wake.wait()
        if seat.over:
            return
        seat.wake.clear()
        async with self.state:
            view, page = seat.scene.view, seat.scene.view.values(seat.choice)
            growing = view.picture.growing
            self.state._set(**changes(seat.page, page, growing))
            if view.picture.own != seat.own:
                seat.own = view.picture.own
                self.own(seat.own)
            session = await self.state.get_state(Session)
            for name, value in changes(seat.frame, view.frame).items():
                setattr(session, name, value)
            memory, around = self.state.__dict__, session.__dict__
        # Rows that were sent are the tab's own: at its return they would travel twice.
        memory.update({name: [] for name in growing})

        def fill(page: Values, frame: Values) -> None:
            memory.update(page)
            around.update(frame)

        seat.fill = fill
        seat.settle(view, page)


def param_of(state: BaseState, name: str) -> str:
    """Return a part of the page's path: ``id`` of ``/executions/[id]``."""
    return askable(state.router_data.get("query", {}).get(name), _LONGEST)
