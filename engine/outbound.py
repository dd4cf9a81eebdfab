"""The one HTTP client for what users ask us to call: it never reaches a private address.

The name is resolved once, every address it has is checked, and the connection goes to a checked
address, so a name that changes its answer between check and use gains nothing. TLS still verifies
the name. Each redirect is a new request that passes the same gate.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

from engine import settings
from engine.errors import StepError

MAX_BODY = 16 * 1024 * 1024
CONNECT_SECONDS = 10.0
_SLICE_SECONDS = 0.5

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Ranges that ``ipaddress.is_global`` lets pass, or that newer tables than Python 3.11's refuse:
# those that embed an IPv4 address could carry a private one.
# Source: https://www.iana.org/assignments/iana-ipv4-special-registry and …-ipv6-special-registry
_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # carrier-grade NAT; some clouds' metadata live here
        "168.63.129.16/32",  # a cloud's host agent behind a public address
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local
        "100::/64",
        "2001::/23",  # Teredo, ORCHID and the like
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")  # all that is handed out; the rest is special

# The connection's own headers: set by a user they would unmake the request or the Host check.
_OWN_HEADERS = frozenset(
    {"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
# What may follow a redirect to another origin: all else could be a credential.
_HARMLESS_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-length", "content-type", "host"}
    | {"user-agent"}
)


class Refused(StepError):
    """The request must not be sent; another attempt would be refused as well."""

    code = "outbound_refused"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, reason="rejected_input", retryable=False, hint=hint)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole. Header names are lower case."""

    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes
    encoding: str


class Gate:
    """Says which addresses may be reached. ``allow`` adds CIDR ranges and host names."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._networks: list[Network] = []
        self._names: set[str] = set()
        for entry in allow:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.add(_name(entry))

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of ``host``, all of them checked, in the resolver's order.

        Raises:
            Refused: one of them is private: a name with two faces is not trusted with either.
            OSError: the name does not resolve.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for text in texts:
            if not self.lets(host, ipaddress.ip_address(text)):
                raise Refused(
                    f"{host} has the address {text}, which is not a public one",
                    hint="the operator can allow it by ENGINE_HTTP_ALLOW (ranges or host names)",
                )
        return texts

    def lets(self, host: str, address: Address) -> bool:
        """Return whether a request to ``host`` may go to ``address``."""
        if _name(host) in self._names:
            return True
        if any(address in network for network in self._networks):
            return True
        return is_public(address)


def is_public(address: Address) -> bool:
    """Return whether ``address`` belongs to the public internet and embeds no other address."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if address.version == 6 and address not in _GLOBAL_V6:
        return False
    return not any(address in network for network in _REFUSED)


class Outbound:
    """An HTTP client behind a :class:`Gate`. Thread-safe; keeps connections, never cookies."""

    def __init__(self, allow: Iterable[str] = (), *, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        jar = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))  # shared by all owners
        self._client = httpx.Client(
            transport=_Transport(Gate(allow)), trust_env=False, cookies=jar, follow_redirects=False
        )
        self._client.headers["user-agent"] = "execution-engine"

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Any = None,
        content: bytes | None = None,
        seconds: float = 60.0,
        redirects: int = 5,
    ) -> Response:
        """Return the answer to a request, whatever its status.

        Args:
            method: GET, POST …
            url: http or https, without credentials.
            headers: sent as they are; those of the connection itself are refused.
            query: pairs or a mapping added to the URL's own.
            content: the body.
            seconds: the time for everything, redirects included.
            redirects: how many are followed; the next one is refused.

        Raises:
            Refused: the URL, a header or an address it leads to is not allowed.
            StepError: no answer: ``timeout``, ``too_large``, or ``error`` for the network's faults.
        """
        deadline = time.monotonic() + seconds
        place = f"{method} {without_secrets(url)}"
        try:
            target = httpx.URL(url).copy_merge_params(query or {})
            request = self._client.build_request(
                method, target, headers=_checked(headers or {}), content=content
            )
            return self._follow(request, redirects, deadline)
        except httpx.TimeoutException as error:
            raise StepError(f"{place}: no answer within {seconds:g} s", reason="timeout") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise Refused(f"{place}: this cannot be sent: {error}") from error
        except httpx.HTTPError as error:
            raise StepError(f"{place}: {str(error) or type(error).__name__}") from error

    def close(self) -> None:
        """Close the connections that are kept for later."""
        self._client.close()

    def _follow(self, request: httpx.Request, redirects: int, deadline: float) -> Response:
        for _hop in range(redirects + 1):
            _check_url(request.url)
            request.extensions["timeout"] = _timeouts(deadline)
            response = self._client.send(request, stream=True)
            try:
                following = response.next_request
                if following is None:
                    return self._read(response, deadline)
            finally:
                response.close()
            if _origin(following.url) != _origin(request.url):
                _drop_private_headers(following)
            request = following
        raise Refused(
            f"{without_secrets(str(request.url))} is redirect number {redirects + 1}: "
            f"at most {redirects} are followed"
        )

    def _read(self, response: httpx.Response, deadline: float) -> Response:
        body = bytearray()
        for chunk in response.iter_bytes():  # as it comes: a chunk size would wait for a full one
            body += chunk
            if len(body) > self._max_body:
                raise StepError(
                    f"{without_secrets(str(response.url))} answered with more than "
                    f"{self._max_body} bytes",
                    reason="too_large",
                    retryable=False,
                )
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer took too long", request=response.request)
        return Response(
            response.status_code,
            response.reason_phrase,
            dict(response.headers),
            bytes(body),
            response.charset_encoding or "utf-8",
        )


@cache
def current() -> Outbound:
    """Return this process's client, with the allow-list of the settings."""
    return Outbound(settings.current().http_allow)


def without_secrets(url: str) -> str:
    """Return ``url`` without credentials, query and fragment: fit for messages and logs."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "an invalid URL"
    return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))


class _Transport(httpx.HTTPTransport):
    """httpx's transport over a pool whose connections pass the gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(trust_env=False)
        self._pool.close()
        # httpx has no parameter for the network backend; its error mapping is worth keeping.
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=256,
            max_keepalive_connections=32,
            keepalive_expiry=15,
            network_backend=_Backend(gate),
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
            addresses = self._gate.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} does not resolve: {error.strerror}") from error
        failure: Exception | None = None
        for address in addresses:
            try:
                stream = self._beneath.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
                return _Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None, "a name that resolves has an address"
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise Refused("sockets of this machine are not reachable by HTTP steps")


class _Stream(httpcore.NetworkStream):
    """A stream that waits in slices: a thread that waits in C for long cannot be interrupted."""

    def __init__(self, beneath: httpcore.NetworkStream) -> None:
        self._beneath = beneath

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        deadline = time.monotonic() + (CONNECT_SECONDS if timeout is None else timeout)
        while True:
            left = deadline - time.monotonic()
            try:
                return self._beneath.read(max_bytes, max(min(left, _SLICE_SECONDS), 0.001))
            except httpcore.ReadTimeout:
                if left <= _SLICE_SECONDS:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._beneath.write(buffer, timeout)

    def close(self) -> None:
        self._beneath.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._beneath.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._beneath.get_extra_info(info)


def _check_url(url: httpx.URL) -> None:
    if url.scheme not in ("http", "https"):
        raise Refused(f"{url.scheme or 'a URL without a scheme'} is not spoken: use http or https")
    if not url.host:
        raise Refused(f"{without_secrets(str(url))} names no host")
    if url.userinfo:
        raise Refused(
            f"{without_secrets(str(url))} carries credentials, which end up in logs",
            hint="send them in an Authorization header",
        )


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in _OWN_HEADERS:
            raise Refused(f"header {name} is set by the engine itself", hint="leave it out")
        if not (name + value).isascii() or any(letter in value for letter in "\r\n\0"):
            raise Refused(f"header {name} holds characters that no header may hold")
    return dict(headers)


def _drop_private_headers(request: httpx.Request) -> None:
    for name in set(request.headers) - _HARMLESS_HEADERS:
        del request.headers[name]


def _timeouts(deadline: float) -> dict[str, float]:
    left = max(deadline - time.monotonic(), 0.001)
    return httpx.Timeout(left, connect=min(left, CONNECT_SECONDS)).as_dict()  # type: ignore[return-value]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _name(host: str) -> str:
    return host.rstrip(".").lower()
