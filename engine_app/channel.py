"""The live channel as Reflex speaks it, with our rules at its entrance.

Reflex takes any event from anyone who knows a tab's token, and logs what it does not know.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

import reflex as rx
from reflex.app import EventNamespace
from reflex.istate.manager.memory import StateManagerMemory
from reflex.istate.manager.token import BaseStateToken
from reflex.state import State, StateUpdate
from reflex_base.constants import SocketEvent
from reflex_base.constants.state import FIELD_MARKER
from reflex_base.event import Event

from engine_app.event_allowlist import FROM_CLIENTS, log_refusal
from engine_app.handshake import SESSION
from engine_app.scenes import scenes
from engine_app.states.base import LOGIN, login_path
from engine_app.tabs import Tab, Tabs

_TOKEN = re.compile(r"[A-Za-z0-9-]{1,64}")
# What a client may say, with the number of things that come with it.
_WORDS = {"event": 1, "client_error": 1, "ping": 0}
_LONGEST_PLACE = 2000
_LIFE = ("connect", "disconnect")  # said by the protocol itself, whatever a client says


class Channel(EventNamespace):
    """Hears the sockets of sessions, each for its own tab, and only what the rules name."""

    def __init__(self, app: rx.App, tabs: Tabs) -> None:
        assert app.event_namespace is not None
        super().__init__(app.event_namespace.namespace, app)
        self._tabs = tabs
        self._refused: set[str] = set()  # sockets whose first refused event was logged
        self._work: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Be told from now on, on the loop that runs, whose sessions are over."""
        loop = asyncio.get_running_loop()
        self._tabs.listener = lambda session: _soon(loop, self._end, session)
        scenes.tell = self.tell

    async def tell(self, idents: Sequence[str], told: Mapping[str, Mapping[str, Any]]) -> None:
        """Send the same changes, by the full names of their states, to tabs: encoded once."""
        known = self._token_manager.token_to_socket
        sids = [known[ident].sid for ident in idents if ident in known]
        delta = {
            state: {name + FIELD_MARKER: value for name, value in change.items()}
            for state, change in told.items()
        }
        if sids and delta:
            await self.emit(str(SocketEvent.EVENT), StateUpdate(delta=delta), to=sids)

    def shut(self, ident: str) -> None:
        """Dismiss every tab of the session that this one's memory belongs to: it is over."""
        tab = self._tabs.find(ident)
        if tab is not None:
            self._end(tab.session)
        else:  # an event that was under way made the memory of a dismissed tab anew
            self._begin(self._forget(ident))

    async def trigger_event(self, event: Any, *args: Any) -> Any:
        """Hear a word; ``args`` are the socket and what was said with it."""
        known = event in _LIFE or (isinstance(event, str) and _WORDS.get(event) == len(args) - 1)
        return await super().trigger_event(event, *args) if known else None

    async def on_connect(self, sid: str, environ: Any, auth: Any = None) -> None:
        """Let a tab in that has a session; lead any other to the sign-in page."""
        # Not what was handed over: a client can say "connect" too, with whatever it likes.
        opened = self.server.get_environ(sid, self.namespace)
        first = auth.get("event") if isinstance(auth, dict) else None
        if opened is None:
            return
        if opened["asgi.scope"].get(SESSION) is None:
            await self._lead_away(sid, _place(first))
            return
        await super().on_connect(sid, opened, auth)

    async def link_token_to_sid(self, sid: str, token: str, *, update_state: bool = True) -> None:
        """Give the socket the memory of its tab: that of its session and token together."""
        if not _TOKEN.fullmatch(token):
            return
        session = self.server.get_environ(sid, self.namespace)["asgi.scope"][SESSION]
        tab = self._tabs.arrive(session, token, sid)
        if tab.token != token:
            await self.emit("new_token", tab.token, to=sid)
        await super().link_token_to_sid(sid, tab.ident, update_state=update_state)

    async def on_event(self, sid: str, data: Any) -> None:
        """Hear an event that a rule names; of any other only the name is logged."""
        tab = self._tabs.find(self.sid_to_token.get(sid, ""))
        if tab is None:
            return  # not let in, or dismissed
        if not _is_event(data):
            if sid not in self._refused:
                self._refused.add(sid)
                log_refusal(data.get("name") if isinstance(data, dict) else data)
            return
        tab.place = _place(data)
        await super().on_event(sid, data)

    def on_disconnect(self, sid: str, *_: Any) -> asyncio.Task[None] | None:
        """Let the tab go; what it watched is not watched any more."""
        self._refused.discard(sid)
        ident = self.sid_to_token.get(sid, "")
        done: asyncio.Task[None] | None = super().on_disconnect(sid)
        for dropped in self._tabs.leave(ident):
            self._begin(self._forget(dropped.ident))
        return done

    def _end(self, session: str) -> None:
        for tab in self._tabs.end(session):
            self._begin(self._dismiss(tab))

    async def _dismiss(self, tab: Tab) -> None:
        """Lead a tab away whose session is over, and forget all about it."""
        self.app.event_processor._on_disconnect(tab.ident)
        if tab.sid:
            await self._lead_away(tab.sid, tab.place)
            await self._token_manager.disconnect_token(tab.ident, tab.sid)
        await self._forget(tab.ident)

    async def _forget(self, ident: str) -> None:
        manager, token = self.app.state_manager, BaseStateToken(ident=ident, cls=State)
        assert isinstance(manager, StateManagerMemory)
        async with manager.modify_state(token):
            pass  # whoever had it is done with it
        manager._purge_token(token)

    async def _lead_away(self, sid: str, place: str) -> None:
        if place.partition("?")[0].rstrip("/") == LOGIN:
            return
        away = Event.from_event_type(rx.redirect(login_path(place)))
        await self.emit(str(SocketEvent.EVENT), StateUpdate(events=away), to=sid)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)  # the loop itself holds no task
        task.add_done_callback(self._work.discard)


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[str], None], session: str) -> None:
    with suppress(RuntimeError):  # the loop is closed: the server has ended, and all it kept
        loop.call_soon_threadsafe(work, session)


def _is_event(data: Any) -> bool:
    """Return whether a rule names it and it has the form that Reflex relies on."""
    if not isinstance(data, dict):
        return False
    name, where = data.get("name"), data.get("router_data", {})
    return (
        isinstance(name, str)
        and name in FROM_CLIENTS
        and isinstance(data.get("payload", {}), dict)
        and isinstance(where, dict)
        and isinstance(where.get("query", {}), dict)
        and all(isinstance(where.get(name, ""), str) for name in ("pathname", "asPath"))
    )


def _place(event: Any) -> str:
    """Return the address of the page that the event comes from."""
    where = event.get("router_data") if isinstance(event, dict) else None
    place = where.get("asPath") if isinstance(where, dict) else None
    return place[:_LONGEST_PLACE] if isinstance(place, str) else "/"
