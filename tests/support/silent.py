"""Servers that take a connection and never say a word, as a machine that stands still does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def silent() -> Iterator[int]:
    """Yield the port of a server whose kernel accepts, and which answers nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(512)
        yield server.getsockname()[1]


@contextmanager
def swallowing() -> Iterator[int]:
    """Yield the port of a server that lets no connection come about, and refuses none."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = []
        try:
            # Until its backlog is full: Linux drops what comes then without a word.
            for _ in range(4):
                client = socket.socket()
                client.settimeout(0.2)
                waiting.append(client)
                with suppress(TimeoutError):
                    client.connect(("127.0.0.1", port))
            yield port
        finally:
            for client in waiting:
                client.close()
