"""The one HTTP client for what users ask us to call: it never reaches a private address.

The name is resolved once, every address it has is checked, and the connection goes to a checked
address, so a name that changes its answer between check and use gains nothing. TLS still verifies
the name. Each redirect is a new request that passes the same gate.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from engine import ports, settings
from engine.errors import OutboundRefused, StepError
from engine.io.http_client.content_coding import ACCEPTED, Undecodable, decoded
from engine.io.http_client.gate import Gate
from engine.io.http_client.transport import CONNECT_SECONDS, Transport, within

MAX_BODY = 16 * 1024 * 1024

# The connection's own headers: set by a user they would unmake the request or the Host check.
_OWN_HEADERS = frozenset(
    {"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
# What may follow a redirect to another origin: all else could be a credential.
_HARMLESS_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-length", "content-type", "host"}
    | {"user-agent"}
)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole. Header names are lower case."""

    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes
    charset: str | None  # as it is declared


class HttpClient:
    """An HTTP client behind a :class:`Gate`. Thread-safe; keeps connections, never cookies."""

    def __init__(self, allow: Iterable[str] = (), *, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        jar = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))  # shared by all owners
        self._client = httpx.Client(
            transport=Transport(Gate(allow)), trust_env=False, cookies=jar, follow_redirects=False
        )
        self._client.headers["user-agent"] = "execution-engine"
        self._client.headers["accept-encoding"] = ACCEPTED

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
            OutboundRefused: the URL, a header or an address it leads to is not allowed.
            StepError: no answer: ``timeout``, ``too_large``, or ``error`` for the network's faults.
        """
        deadline = time.monotonic() + seconds
        place = f"{method} {without_secrets(url)}"
        try:
            target = httpx.URL(url).copy_merge_params(query or {})
            request = self._client.build_request(
                method, target, headers=_checked(headers or {}), content=content
            )
            with within(deadline):
                return self._follow(request, redirects, deadline)
        except httpx.TimeoutException as error:
            raise StepError(f"{place}: no answer within {seconds:g} s", reason="timeout") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise OutboundRefused(f"{place}: this cannot be sent: {error}") from error
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
        raise OutboundRefused(
            f"{without_secrets(str(request.url))} is redirect number {redirects + 1}: "
            f"at most {redirects} are followed"
        )

    def _read(self, response: httpx.Response, deadline: float) -> Response:
        where = without_secrets(str(response.url))
        codings = response.headers.get("content-encoding", "")
        body = bytearray()
        try:
            # As they come: chunks of a size would wait for a full one.
            for chunk in decoded(response.iter_raw(), codings, self._max_body):
                body += chunk
                # As it came, too: what decodes to nothing could come without end.
                if max(len(body), response.num_bytes_downloaded) > self._max_body:
                    raise StepError(
                        f"{where} answered with more than {self._max_body} bytes",
                        reason="too_large",
                        retryable=False,
                    )
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer took too long", request=response.request)
        except Undecodable as error:
            raise StepError(f"the answer of {where} cannot be read: {error}") from None
        return Response(
            response.status_code,
            response.reason_phrase,
            dict(response.headers),
            bytes(body),
            response.charset_encoding,
        )


@cache
def current() -> HttpClient:
    """Return this process's client, with the allow-list of the settings."""
    return HttpClient(settings.current().http_allow)


def without_secrets(url: str) -> str:
    """Return ``url`` without credentials, query and fragment: fit for messages and logs."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "an invalid URL"
    return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))


def _check_url(url: httpx.URL) -> None:
    if url.scheme not in ("http", "https"):
        raise OutboundRefused(
            f"{url.scheme or 'a URL without a scheme'} is not spoken: use http or https"
        )
    if url.port is not None and not ports.is_port(str(url.port)):
        raise OutboundRefused(ports.fault_of(str(url)))
    if not url.host:
        raise OutboundRefused(f"{without_secrets(str(url))} names no host")
    if url.userinfo:
        raise OutboundRefused(
            f"{without_secrets(str(url))} carries credentials, which end up in logs",
            hint="send them in an Authorization header",
        )


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in _OWN_HEADERS:
            raise OutboundRefused(f"header {name} is set by the engine itself", hint="leave it out")
        if not (name + value).isascii() or any(letter in value for letter in "\r\n\0"):
            raise OutboundRefused(f"header {name} holds characters that no header may hold")
    return dict(headers)


def _drop_private_headers(request: httpx.Request) -> None:
    for name in set(request.headers) - _HARMLESS_HEADERS:
        del request.headers[name]


def _timeouts(deadline: float) -> dict[str, float]:
    left = max(deadline - time.monotonic(), 0.001)
    return httpx.Timeout(left, connect=min(left, CONNECT_SECONDS)).as_dict()  # type: ignore[return-value]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
