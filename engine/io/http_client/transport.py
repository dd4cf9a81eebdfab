"""Connections to checked addresses, each exchange within one deadline whatever the server does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

from engine.errors import OutboundRefused
from engine.io.http_client.gate import Gate

CONNECT_SECONDS = 10.0
_SLICE_SECONDS = 0.5
_SLICE_BYTES = 16 * 1024

# Of the exchange that this thread carries out, by ``time.monotonic``. httpx's limits are for each
# read and write: a byte now and then keeps them from ever being over.
_deadline: ContextVar[float] = ContextVar("exchange_deadline")


@contextmanager
def within(deadline: float) -> Iterator[None]:
    """Have all that is sent and received inside end by ``deadline`` (``time.monotonic``)."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Return how much is left of the exchange's time, 0 at least."""
    return max(_deadline.get() - time.monotonic(), 0.0)


class Transport(httpx.BaseTransport):
    """Sends through a pool whose connections pass the gate. Thread-safe.

    httpx's own transport has no parameter for how addresses are connected to; httpcore has.
    """

    def __init__(self, gate: Gate) -> None:
        self._connections = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=256,
            max_keepalive_connections=32,
            keepalive_expiry=15,
            network_backend=_Backend(gate),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; the response's body is read from the connection as it is asked for."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _as_httpx():
            answer = self._connections.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()


class _Body(httpx.SyncByteStream):
    """The body of a response, while its connection is open."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        with _as_httpx():
            self._answer.close()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise httpcore's errors as httpx's, which have the same names."""
    try:
        yield
    except _FAILURES as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error


_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.ProxyError,
)


class _Backend(httpcore.NetworkBackend):
    """Opens TCP connections to checked addresses only."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._beneath = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._gate.addresses(host, port, seconds=seconds_left())
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} does not resolve in time") from error
        except OSError as error:
            raise httpcore.ConnectError(f"{host} does not resolve: {error.strerror}") from error
        failure: Exception | None = None
        for address in addresses:
            most = max(min(CONNECT_SECONDS, seconds_left()), 0.001)
            try:
                stream = self._beneath.connect_tcp(
                    address, port, most, local_address, socket_options
                )
                return _Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None, "a name that resolves has an address"
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise OutboundRefused("sockets of this machine are not reachable by HTTP steps")


class _Stream(httpcore.NetworkStream):
    """A stream of one exchange after the other, each with its deadline.

    It waits in slices: a thread that waits in C for long cannot be interrupted.
    """

    def __init__(self, beneath: httpcore.NetworkStream) -> None:
        self._beneath = beneath

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            left = seconds_left()
            try:
                return self._beneath.read(max_bytes, max(min(left, _SLICE_SECONDS), 0.001))
            except httpcore.ReadTimeout:
                if left <= _SLICE_SECONDS:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        while rest:
            if not (left := seconds_left()):
                raise httpcore.WriteTimeout("the request took too long")
            self._beneath.write(bytes(rest[:_SLICE_BYTES]), left)
            rest = rest[_SLICE_BYTES:]

    def close(self) -> None:
        self._beneath.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        most = max(seconds_left(), 0.001)
        return _Stream(self._beneath.start_tls(ssl_context, server_hostname, most))

    def get_extra_info(self, info: str) -> Any:
        return self._beneath.get_extra_info(info)
