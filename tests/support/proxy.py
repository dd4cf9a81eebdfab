"""A TCP proxy of our own: the network before Redis and PostgreSQL, to be broken on purpose."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.processes import free_port

# Tells what becomes of a piece that a client sends, from its connection's number and its bytes.
Choice = Callable[[int, bytes], str | None]

_CHUNK = 65536
_POLL = 0.2  # seconds between two looks at whether the proxy has been closed


@dataclass(eq=False)
class _Link:
    """One client's connection and the server's end of it."""

    client: socket.socket
    server: socket.socket
    number: int
    mute: bool = field(default=False)  # nothing the server says reaches the client any more

    def close(self) -> None:
        """End both halves, so that either side sees a connection that was cut."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                end.close()


class Proxy:
    """Listens at ``port`` and passes bytes to ``target`` and back, as long as it is told to.

    Attributes:
        port: where clients connect.
        delay: seconds by which everything that the server says is held back.
        dropped: how many replies (and, with ``request``, requests) were dropped so far.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.delay = 0.0
        self.dropped = 0
        self._target = target
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._closed = False
        self._choose: Choice | None = None
        self._numbers = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    # --- faults -------------------------------------------------------------------------------

    def cut(self) -> None:
        """Cut every connection and refuse new ones until ``heal``."""
        self._refusing = True
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            link.close()

    def hold(self) -> None:
        """Be a black hole until ``heal``: connections stay open and nothing passes."""
        self._flowing.clear()

    def heal(self) -> None:
        """Pass everything again; what a black hole held goes on its way."""
        self._refusing = False
        self._choose = None
        self.delay = 0.0
        self._flowing.set()

    def drop(self, choose: Choice) -> None:
        """Ask ``choose`` about each piece that a client sends, until ``heal``.

        It returns ``"reply"`` to pass the piece on and cut the connection when the server answers,
        ``"request"`` to cut it before the piece has gone anywhere, or None to leave it alone.
        Whichever it is, the client sees the same: it asked, and the connection is gone.
        """
        self._choose = choose

    def close(self) -> None:
        """Stop listening and end all connections."""
        self._closed = True
        self._flowing.set()
        self._listener.close()
        self.cut()

    # --- passing on ---------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        link = _Link(client, server, next(self._numbers))
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._links.add(link)
        threading.Thread(target=self._answers, args=(link,), daemon=True).start()
        self._requests(link)

    def _requests(self, link: _Link) -> None:
        with self._ending(link):
            while data := link.client.recv(_CHUNK):
                self._wait()
                verdict = self._choose(link.number, data) if self._choose else None
                if verdict is not None:
                    self.dropped += 1
                if verdict == "request":
                    return
                link.mute = verdict == "reply"
                link.server.sendall(data)

    def _answers(self, link: _Link) -> None:
        with self._ending(link):
            while data := link.server.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self._wait()
                if link.mute:
                    return
                link.client.sendall(data)

    def _wait(self) -> None:
        while not self._flowing.wait(_POLL):
            if self._closed:
                return

    @contextmanager
    def _ending(self, link: _Link) -> Iterator[None]:
        try:
            with contextlib.suppress(OSError):
                yield
        finally:
            link.close()
            with self._lock:
                self._links.discard(link)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Yield a proxy before the server at port ``target`` of this machine."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
