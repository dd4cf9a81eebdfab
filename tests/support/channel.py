"""The live channel as a program speaks it: a tab without a browser, that need not behave."""

from __future__ import annotations

import json
import socket
import uuid
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import RejectConnection, Request, TextMessage

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


class _Socket:
    """A websocket that says what it got in time, or nothing."""

    def __init__(self, url: str, protocol: str | None, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._tcp = socket.create_connection((parts.hostname, parts.port), timeout=15)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._came: deque[str] = deque()
        self._part = ""
        wanted = Request(
            host=parts.netloc,
            target=f"{parts.path}?{parts.query}",
            subprotocols=[protocol] if protocol else [],
            extra_headers=[(name.encode(), text.encode()) for name, text in headers.items()],
        )
        self._tcp.sendall(self._protocol.send(wanted))
        while self._protocol.state is ConnectionState.CONNECTING:
            self._read()

    def send(self, text: str) -> None:
        self._tcp.sendall(self._protocol.send(TextMessage(text)))

    def receive(self, seconds: float) -> str | None:
        """Return the next message; None when it does not come in time, or the other end closed."""
        self._tcp.settimeout(seconds)
        try:
            while not self._came:
                self._read()
        except (TimeoutError, ConnectionResetError):
            return None
        return self._came.popleft()

    def close(self) -> None:
        self._tcp.close()

    def _read(self) -> None:
        data = self._tcp.recv(65_536)
        if not data:
            raise ConnectionResetError
        self._protocol.receive_data(data)
        for found in self._protocol.events():
            if isinstance(found, RejectConnection):
                raise ConnectionError(found.status_code)
            if isinstance(found, TextMessage):
                self._part += found.data
                if found.message_finished:
                    self._came.append(self._part)
                    self._part = ""


class Tab:
    """One socket. Usable as a context manager, which closes it.

    Args:
        url: of the engine.
        session: the value of the session's cookie, if any.
        token: what the tab calls itself; a new name by default.
        boot: the event that rides with the connection, as the pages' first one does.
        headers: of the handshake.
        protocol: which the tab offers to speak: the pages name Reflex's version.

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
        protocol: str | None = None,
    ) -> None:
        self.token = token or str(uuid.uuid4())
        self.got: list[Any] = []
        sent = {"Origin": url, **(headers or {})}
        if session is not None:
            sent["Cookie"] = f"{COOKIE}={session}"
        where = f"ws://{urlsplit(url).netloc}{_ROOM}/?EIO=4&transport=websocket&token={self.token}"
        self._socket = _Socket(where, protocol, sent)
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
        self.emit("event", sent)

    def emit(self, *said: Any) -> None:
        """Send any word of socket.io with what belongs to it."""
        self._socket.send(f"42{_ROOM},{json.dumps(said)}")

    def heard(self, seconds: float = 2) -> list[Any]:
        """Return all that was ever received, after a pause of ``seconds`` without news."""
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
        self._socket.close()

    def _next(self, prefix: str) -> str:
        while (found := self._receive(15)) is not None:
            if found.startswith(prefix):
                return found
        raise AssertionError(f"no {prefix!r} came")

    def _receive(self, seconds: float) -> str | None:
        text = self._socket.receive(seconds)
        if text is None:
            return None
        if text == "2":  # engine.io's ping
            self._socket.send("3")
        if text.startswith(f"42{_ROOM},"):
            self.got.append(json.loads(text.removeprefix(f"42{_ROOM},")))
        return text
