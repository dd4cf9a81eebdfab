"""Clients of the pages' websocket and of the API's streams that ask and never read the answers."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

WINDOW = 2048  # bytes that the client's side takes before the server has to keep the rest


@contextmanager
def deaf_stream(port: int, path: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Ask for a stream at ``path`` and read nothing of it until the block ends."""
    with _connected(port) as client:
        _request(client, port, path, headers)
        yield


@contextmanager
def deaf_page(port: int, cookie: str, page: str, *events: str, times: int = 1) -> Iterator[None]:
    """Open a page's websocket, send its events so many times, and read nothing but the greeting.

    Args:
        port: of the web server on this machine.
        cookie: signs the viewer in.
        page: the path of the page, as ``/monitoring``.
        events: full names of the handlers that the page calls.
        times: how often each is called.
    """
    token = str(uuid.uuid4())
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Origin": f"http://127.0.0.1:{port}",
        "Cookie": cookie,
    }
    router: dict[str, Any] = {"pathname": page, "asPath": page, "query": {}}
    with _connected(port) as client:
        _request(client, port, f"/_event/?EIO=4&transport=websocket&token={token}", headers)
        greeting = client.recv(200)
        assert greeting.startswith(b"HTTP/1.1 101"), greeting
        client.sendall(_frame("40/_event," + json.dumps({"token": token})))
        for _ in range(times):
            for name in events:
                event = {"token": token, "name": name, "payload": {}, "router_data": router}
                client.sendall(_frame("42/_event," + json.dumps(["event", event])))
        yield


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.socket() as client:
        client.settimeout(20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        client.connect(("127.0.0.1", port))
        yield client


def _request(client: socket.socket, port: int, path: str, headers: Mapping[str, str]) -> None:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())


def _frame(words: str) -> bytes:
    """Return a masked text frame (RFC 6455, 5.2) of less than 64 kB."""
    payload, mask = words.encode(), os.urandom(4)
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + struct.pack(">H", size)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
