"""What holds for every answer, whatever route gives it: whose host it is, what a browser may do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine_app.api.problems import nothing_at, problem
from engine_app.auth.proxies import FORWARDING, Network, caller

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # "no-referrer" would make browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_API_ONLY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
# Asked by probes that know only an address; both tell nothing about anyone.
_PROBES = ("/api/health", "/api/ready")


class Proxies:
    """Gives requests that came through trusted proxies the address and scheme of their caller."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if self._trusted and scope["type"] in ("http", "websocket") and scope.get("client"):
            scope = {**scope, **self._behind(scope)}
        await self._app(scope, receive, send)

    def _behind(self, scope: Scope) -> dict[str, object]:
        (peer, port), scheme = scope["client"], scope.get("scheme", "http")
        sent = Headers(scope=scope)
        joined = {name: ", ".join(sent.getlist(name)) for name in FORWARDING}
        found = caller(peer, "http", joined, self._trusted)
        if found.address == peer:
            return {}
        secure = {"http": "https", "ws": "wss"} if found.scheme == "https" else {}
        return {"client": (found.address, port), "scheme": secure.get(scheme, scheme)}


class HostGuard:
    """Refuses requests that name another host: a foreign name pointed at our address."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or refuse it."""
        if scope["type"] in ("http", "websocket") and scope["path"] not in _PROBES:
            host = Headers(scope=scope).get("host", "").lower()
            if host not in self._hosts:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                    return
                refusal = problem(
                    421,
                    "unknown_host",
                    f"the engine is not known as {host!r}",
                    hint="add its address to ENGINE_ALLOWED_ORIGINS, e.g. https://engine.example",
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class PlainPaths:
    """Refuses a path with a NUL character: no file and no name has one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or refuse it."""
        if scope["type"] == "http" and "\0" in scope["path"]:
            return await Nowhere()(scope, receive, send)
        return await self._app(scope, receive, send)


class Nowhere:
    """Answers that there is nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request."""
        await nothing_at(scope["path"])(scope, receive, send)


class RelativeRedirects:
    """Leads from page to page by path alone.

    Whoever speaks TLS for us hands on plain HTTP: an address that was made here from what was
    asked would lead a browser back out of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        host = Headers(scope=scope).get("host", "").lower()

        async def shorten(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                target = urlsplit(headers.get("location", ""))
                if target.netloc and target.netloc.lower() == host:
                    # One slash: two would make the next part another host.
                    path = "/" + target.path.lstrip("/")
                    short = target._replace(scheme="", netloc="", path=path)
                    headers["location"] = short.geturl()
            await send(message)

        return await self._app(scope, receive, shorten)


class _Enough(OSError):
    """What was asked for is sent."""


class HeadAsGet:
    """Answers HEAD by the head of what GET answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def head(message: Message) -> None:
            await send(message)
            await send({"type": "http.response.body"})
            raise _Enough  # as if the client were gone: a stream would go on for ever

        with suppress(_Enough, ClientDisconnect):
            await self._app({**scope, "method": "GET"}, receive, head)


class SecurityHeaders:
    """Tells browsers what not to do with an answer; a route's own header wins."""

    def __init__(self, app: ASGIApp, *, api: bool) -> None:
        self._app = app
        self._headers = _ALWAYS | (_API_ONLY if api else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with the headers added."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)
