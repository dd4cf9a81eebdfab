"""What every page's state shares: who is looking, and how it follows the engine.

Reflex lets any client call every public method of a state. So helpers start with ``_``, each
handler is named in ``engine_app.gate`` and each query carries the viewer's own id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import reflex as rx
from reflex.state import BaseState

from engine.errors import EngineError, NotFound
from engine.store import views
from engine_app.auth.viewer import Viewer, of_session
from engine_app.live import Bell, hub
from engine_app.reading import database, in_thread
from engine_app.tabs import tabs

T = TypeVar("T")
_log = logging.getLogger(__name__)

LOGIN = "/login"
ASKED_CAP = 100
BEAT_SECONDS = 2.0  # between two signs of life; a page says "stale" after 5 s without one


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


def asked_of(viewer: Viewer) -> int:
    """Return how many approvals wait for the viewer, counted to ``ASKED_CAP``."""
    page = database().read(
        lambda connection: views.approvals(connection, viewer.id, viewer.name, limit=ASKED_CAP)
    )
    return len(page.rows)


def to_login(state: BaseState) -> Any:
    """Return the event that leads to the sign-in page and back."""
    url = state.router.url
    return rx.redirect(login_path(url.path + (f"?{url.query}" if url.query else "")))


def login_path(asked: str) -> str:
    """Return the address of the sign-in page that leads back to ``asked``."""
    return f"{LOGIN}?next={quote(asked, safe='')}"


def query_of(state: BaseState, name: str) -> str:
    """Return a parameter of the page's address."""
    return str(state.router.url.query_parameters.get(name, ""))


class Following(rx.State, mixin=True):
    """What every live page shows of itself: whether it has read, failed, found nothing."""

    loaded: bool = False
    missing: bool = False
    trouble: str = ""
    behind: bool = False
    beat: int = 0
    _topics: tuple[str, ...] = ()
    _still: bool = False

    @rx.event
    def look_again(self) -> None:
        """Read now: the answer to trouble."""
        hub.ring(*self._topics)

    def _set(self, **values: Any) -> None:
        """Set what changed: an equal value must not travel again."""
        for name, value in values.items():
            if getattr(self, name) != value:
                setattr(self, name, value)


@dataclass
class Follow(Generic[T]):
    """How a tab's state follows the engine.

    ``topics``, found on a thread, ring for it. ``aim`` runs with the state held and returns the
    reading, which then runs on a thread for the viewer of that moment. ``show`` runs with the
    state held again, and sets ``_still`` when only a ring can bring news, ``behind`` when there
    is more to read now.
    """

    state: Any
    topics: Callable[[Viewer], tuple[str, ...]]
    aim: Callable[[], Callable[[Viewer], T]]
    show: Callable[[T], None]

    async def run(self) -> None:
        """Show until the session is over; cancelled when the page is left."""
        async with self.state:
            session = session_of(self.state)
        with ExitStack() as stack:
            bell: Bell | None = None
            rung = True
            while True:
                try:
                    viewer = await in_thread(lambda: viewer_of(session))
                    if viewer is None:
                        break
                    if bell is None:
                        bell = await self._join(stack, viewer)
                    await self._turn(viewer, rung=rung)
                except EngineError as error:
                    await self._fail(error)
                except Exception:
                    # A page that stops following for good would show old rows as if they were new.
                    _log.exception("a page could not be read")
                    await self._fail(EngineError("this is a fault of the engine; its log tells"))
                if bell is None:
                    await asyncio.sleep(BEAT_SECONDS)
                elif not self.state.behind:
                    rung = await bell.wait(BEAT_SECONDS)
        tabs.over(session or "")

    async def _join(self, stack: ExitStack, viewer: Viewer) -> Bell:
        topics = await in_thread(lambda: self.topics(viewer))
        async with self.state:
            self.state._topics = topics
            (await self.state.get_state(Session)).user = viewer.name
        return stack.enter_context(hub.subscribe(*topics))

    async def _turn(self, viewer: Viewer, *, rung: bool) -> None:
        """Read and show; a page on which nothing moves only tells that it is alive."""
        if not rung and self.state._still and hub.connected and not self.state.trouble:
            now, asked = await in_thread(lambda: (database().now(), asked_of(viewer)))
            async with self.state:
                self.state.beat = now
                await self._tell(asked)
            return
        async with self.state:
            read = self.aim()
        now, asked, found = await in_thread(
            lambda: (database().now(), asked_of(viewer), read(viewer))
        )
        async with self.state:
            self.show(found)
            self.state._set(trouble="", missing=False, loaded=True, beat=now)
            await self._tell(asked)

    async def _tell(self, asked: int) -> None:
        """Set the count in the navigation, which every page has."""
        session = await self.state.get_state(Session)
        if session.asked != asked:
            session.asked = asked

    async def _fail(self, error: EngineError) -> None:
        now = time.time_ns() // 1000
        async with self.state:
            if isinstance(error, NotFound):
                self.state._set(missing=True, loaded=True, trouble="", beat=now)
            else:
                self.state._set(trouble=str(error))


def param_of(state: BaseState, name: str) -> str:
    """Return a part of the page's path: ``id`` of ``/executions/[id]``."""
    return str(state.router_data.get("query", {}).get(name, ""))
