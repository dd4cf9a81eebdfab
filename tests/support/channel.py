"""The live channel as a program speaks it: a tab without a browser, that need not behave."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from simple_websocket import Client, ConnectionClosed
from simple_websocket import ConnectionError as Refused

from engine_app.auth.viewer import COOKIE

_ROOM = "/_event"
_STATE = "reflex___state____state"
HYDRATE = f"{_STATE}.hydrate"
BOOT = f"{_STATE}.hydrate_and_load"
LOAD = f"{_STATE}.reflex___state____on_load_internal_state.on_load_internal"


def event(name: str, path: str = "/monitoring", **payload: Any) -> dict[str, Any]:
    """Return an event as a tab on the page ``path`` sends it."""
    return {
        "name": name,
        "payload": payload,
        "router_data": {"pathname": path, "asPath": path, "query": {}},
    }


def handler(state: type, name: str) -> str:
    """Return what a handler of a page's state is called on the channel."""
    return f"{state.get_full_name()}.{name}"  # type: ignore[attr-defined]  # Reflex's own


class _Client(Client):  # type: ignore[misc]  # the library has no types
    host: str
    port: int

    def handshake(self) -> None:
        self.host = f"{self.host}:{self.port}"  # a browser names the port too
        super().handshake()


class Tab:
    """One socket. Usable as a context manager, which closes it.

    Args:
        url: of the engine.
        session: the value of the session's cookie, if any.
        token: what the tab calls itself; a new name by default.
        boot: the event that rides with the connection, as the pages' first one does.
        headers: of the handshake.

    Raises:
        ConnectionError: the handshake was refused; its argument is the status.
    """

    def __init__(
        self,
        url: str,
        session: str | None = None,
        *,
        token: str = "",
        boot: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.token = token or str(uuid.uuid4())
        self.got: list[Any] = []
        sent = {"Origin": url, **(headers or {})}
        if session is not None:
            sent["Cookie"] = f"{COOKIE}={session}"
        where = f"ws://{urlsplit(url).netloc}{_ROOM}/?EIO=4&transport=websocket&token={self.token}"
        try:
            self._socket = _Client(where, headers=sent)
        except Refused as refusal:
            raise ConnectionError(refusal.status_code) from None
        self._next("0")
        auth = "" if boot is None else json.dumps({"event": boot})
        self._socket.send(f"40{_ROOM},{auth}")
        self._next("40")

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, sent: Any) -> None:
        """Send an event; any JSON value, for the channel must bear all."""
        self._socket.send(f"42{_ROOM},{json.dumps(['event', sent])}")

    def heard(self, seconds: float = 2) -> list[Any]:
        """Return all that was ever received, after a pause of ``seconds`` without news."""
        with suppress(ConnectionClosed):
            while self._receive(seconds) is not None:
                pass
        return self.got

    def hears(self, text: str, seconds: float = 15) -> str:
        """Return the first message with ``text`` in it; waits for it."""
        while True:
            hit = next((one for one in map(json.dumps, self.got) if text in one), None)
            if hit is not None:
                return hit
            if self._receive(seconds) is None:
                raise AssertionError(f"no {text!r} within {seconds} s in {self.got}")

    def close(self) -> None:
        """Close the socket without a word, as a tab does that is gone."""
        with suppress(ConnectionClosed, OSError):
            self._socket.close()

    def _next(self, prefix: str) -> str:
        while (found := self._receive(15)) is not None:
            if found.startswith(prefix):
                return found
        raise AssertionError(f"no {prefix!r} came")

    def _receive(self, seconds: float) -> str | None:
        raw = self._socket.receive(timeout=seconds)
        if raw is None:
            return None
        text = str(raw)
        if text == "2":  # engine.io's ping
            self._socket.send("3")
        if text.startswith(f"42{_ROOM},"):
            self.got.append(json.loads(text.removeprefix(f"42{_ROOM},")))
        return text
