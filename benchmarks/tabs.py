"""Pages as browsers hold them open, without browsers: websockets that note when news arrives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, Request, TextMessage

from engine_app.auth.viewer import COOKIE

_ROOM = "/_event"
_BOOT = "reflex___state____state.hydrate_and_load"
_PAGE = "reflex___state____state.engine_app___states___execution____execution_state"
_EVENTS = "events_rx_state_"


class Tab:
    """One open page of an execution. ``late`` are the seconds from each event's time to here."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.last = 0  # the number of the last event that arrived
        self.loaded = asyncio.Event()

    def hear(self, text: str) -> None:
        """Take a message of the channel."""
        if "loaded_rx_state_" in text:
            self.loaded.set()
        if _EVENTS not in text:
            return
        said = json.loads(text.removeprefix(f"42{_ROOM},"))
        now = time.time()
        for number, _kind, _step, at, *_ in said[1]["delta"].get(_PAGE, {}).get(_EVENTS, ()):
            if number > self.last:
                self.last = number
                self.late.append(now - at / 1e6)


@asynccontextmanager
async def open_tabs(url: str, sessions: list[str], execution_id: str) -> AsyncIterator[list[Tab]]:
    """Yield a tab for each session, all with the page of one execution, once all have read it."""
    async with asyncio.TaskGroup() as group:
        tabs = [Tab() for _ in sessions]
        tasks = [
            group.create_task(_hold(url, session, execution_id, tab))
            for session, tab in zip(sessions, tabs, strict=True)
        ]
        async with asyncio.timeout(120):
            await asyncio.gather(*(tab.loaded.wait() for tab in tabs))
        yield tabs
        for task in tasks:
            task.cancel()


async def _hold(url: str, session: str, execution_id: str, tab: Tab) -> None:
    """Hold a page open until cancelled."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    channel = WSConnection(ConnectionType.CLIENT)
    cookie = (b"Cookie", f"{COOKIE}={session}".encode())
    origin = (b"Origin", url.encode())
    target = f"{_ROOM}/?EIO=4&transport=websocket&token={uuid.uuid4()}"
    asked = Request(host=where.netloc, target=target, extra_headers=[cookie, origin])
    writer.write(channel.send(asked))
    try:
        part = ""
        while data := await reader.read(262_144):
            channel.receive_data(data)
            for found in channel.events():
                if isinstance(found, RejectConnection):
                    raise ConnectionError(f"the channel answers {found.status_code}")
                if isinstance(found, AcceptConnection):
                    continue
                if isinstance(found, TextMessage):
                    part += found.data
                    if found.message_finished:
                        for answer in _answers(part, execution_id):
                            writer.write(channel.send(TextMessage(answer)))
                        tab.hear(part)
                        part = ""
        raise ConnectionError("the server closed a page's channel")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _answers(text: str, execution_id: str) -> list[str]:
    """Return what a page answers to a word of the protocol."""
    if text == "2":  # engine.io's ping
        return ["3"]
    if text.startswith("0"):  # it is open: the page's first event rides with the connection
        return [f"40{_ROOM},{json.dumps({'event': _boot(execution_id)})}"]
    return []


def _boot(execution_id: str) -> dict[str, Any]:
    path = f"/executions/{execution_id}"
    where = {"pathname": path, "asPath": path, "query": {"id": execution_id}}
    return {"name": _BOOT, "payload": {}, "router_data": where}
