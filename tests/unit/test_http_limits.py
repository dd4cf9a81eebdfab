"""Size and time are limits of a whole exchange, whatever the other side does."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from engine.errors import StepError
from engine.io.http_client import HttpClient


def gzipped(data: bytes) -> bytes:
    # Without the time: a parameter's bytes are part of a test's name, and names must not differ
    # between processes that collect the same tests.
    return gzip.compress(data, mtime=0)


@pytest.fixture
def client() -> Iterator[HttpClient]:
    made = HttpClient(["127.0.0.0/8", "slow.example"], max_body=4096)
    yield made
    made.close()


def _raw_server(answer: Callable[[socket.socket], None]) -> AbstractContextManager[str]:
    """A server that takes one connection and hands it to ``answer``; yields its URL."""

    @contextmanager
    def serving() -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        answer(connection)

            thread = threading.Thread(target=serve)
            thread.start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
            listener.close()
            thread.join(10)

    return serving()


def _trickle(head: bytes) -> Callable[[socket.socket], None]:
    """Send a byte now and then: no single read ever takes long."""

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
)
def test_an_answer_that_trickles_ends_at_the_deadline_wherever_it_does(
    client: HttpClient, head: bytes
) -> None:
    began = time.monotonic()
    with _raw_server(_trickle(head)) as url, pytest.raises(StepError) as caught:
        client.request("GET", url, seconds=0.5)
    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 3


def test_a_request_that_nobody_reads_ends_at_the_deadline(client: HttpClient) -> None:
    over = threading.Event()
    began = time.monotonic()

    def never_reads(_connection: socket.socket) -> None:
        over.wait(10)

    with _raw_server(never_reads) as url:
        with pytest.raises(StepError) as caught:
            client.request("POST", url, content=b"x" * 50_000_000, seconds=0.5)
        over.set()
    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 3


def test_a_name_that_nobody_answers_for_ends_at_the_deadline(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(10) and [])
    began = time.monotonic()
    with pytest.raises(StepError) as caught:
        client.request("GET", "http://slow.example/", seconds=0.3)
    over.set()
    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 3


def _encoded(coding: str, body: bytes) -> Callable[[socket.socket], None]:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nConnection: close\r\n\r\n"

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(head.encode() + body)

    return answer


_RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzipped(b"hello")),
        ("GZIP", gzipped(b"hel") + gzipped(b"lo")),
        ("deflate", zlib.compress(b"hello")),
        ("deflate", _RAW.compress(b"hello") + _RAW.flush()),
        ("identity", b"hello"),
        ("gzip, identity", gzipped(b"hello")),
    ],
)
def test_a_compressed_answer_is_decompressed(client: HttpClient, coding: str, body: bytes) -> None:
    with _raw_server(_encoded(coding, body)) as url:
        assert client.request("GET", url).body == b"hello"


BOMB = gzipped(b"\0" * 200_000_000)


def test_a_small_answer_that_stands_for_a_huge_one_takes_no_memory(client: HttpClient) -> None:
    tracemalloc.start()
    with (
        _raw_server(_encoded("gzip", BOMB)) as url,
        pytest.raises(StepError, match="more than 4096 bytes") as caught,
    ):
        client.request("GET", url)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.reason == "too_large"
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("coding", "body", "why"),
    [
        ("gzip, gzip", gzipped(gzipped(b"hello")), "its encoding is gzip, gzip"),
        ("br", b"hello", "its encoding is br; gzip, deflate are understood"),
        ("gzip", b"hello", "not compressed as it says"),
        ("gzip", gzipped(b"hello")[:-9], "in the middle of its compressed content"),
    ],
)
def test_what_cannot_be_decompressed_is_told(
    client: HttpClient, coding: str, body: bytes, why: str
) -> None:
    with _raw_server(_encoded(coding, body)) as url, pytest.raises(StepError, match=why):
        client.request("GET", url)


def test_what_decompresses_to_nothing_does_not_come_without_end(client: HttpClient) -> None:
    empty = gzipped(b"")
    with (
        _raw_server(_encoded("gzip", empty * 1_000)) as url,
        pytest.raises(StepError, match="more than 4096 bytes"),
    ):
        client.request("GET", url)
