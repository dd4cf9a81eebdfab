"""What happens to a page's first request, before any script runs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import EngineError
from engine_app.api.problems import problem

# What is open to those who are not signed in.
_OPEN = frozenset({"/login", "/404"})
_METHODS = ("GET", "HEAD")
# Nothing from anywhere else, ever. Inline: Reflex puts the theme and the routes into the page.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Door:
    """Leads those who are not signed in to the sign-in page and back.

    Args:
        app: serves the pages.
        pages: their addresses, all of them: ``/executions/[id]``.
        session: returns which valid session a ``Cookie`` header tells of, None if it is none.
    """

    def __init__(
        self,
        app: ASGIApp,
        pages: Iterable[str],
        session: Callable[[str], Awaitable[str | None]],
    ) -> None:
        self._app = app
        self._session = session
        known = set(pages)
        # Files that Reflex drew beforehand, each in a folder: without the slash it would redirect.
        self._drawn = {page for page in known if "[" not in page and page != "/"}
        self._closed = [_pattern(page) for page in sorted(known - _OPEN)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page, or redirect."""
        if scope["type"] == "http" and scope["method"] not in _METHODS:
            return await _only_shown(scope)(scope, receive, send)
        if scope["type"] == "http":
            path = scope["path"].rstrip("/") or "/"
            if self._is_closed(path) and not await self._is_signed_in(scope):
                query = scope["query_string"].decode("latin-1")
                asked = path + (f"?{query}" if query else "")
                target = f"/login?next={quote(asked, safe='')}"
                return await RedirectResponse(target, 303)(scope, receive, send)
            if path in self._drawn:
                scope = {**scope, "path": f"{path}/", "raw_path": f"{path}/".encode()}

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Content-Security-Policy", _POLICY)
            await send(message)

        return await self._app(scope, receive, add if scope["type"] == "http" else send)

    def _is_closed(self, path: str) -> bool:
        return any(page.fullmatch(path) for page in self._closed)

    async def _is_signed_in(self, scope: Scope) -> bool:
        try:
            return await self._session(Headers(scope=scope).get("cookie", "")) is not None
        except EngineError:
            return True  # the database is away: the page itself says so, and waits for it


def _pattern(page: str) -> re.Pattern[str]:
    """Return what matches the addresses of a page."""
    return re.compile("[^/]+".join(map(re.escape, re.split(r"\[\w+\]", page))))


def _only_shown(scope: Scope) -> Response:
    """Return the answer to a request that would change a page."""
    allowed = {"Allow": ", ".join((*_METHODS, "OPTIONS"))}
    if scope["method"] == "OPTIONS":
        return Response(status_code=204, headers=allowed)
    said = f"{scope['method']} is not possible here: pages are only shown"
    return problem(405, "method_not_allowed", said, hint="the API is at /api", headers=allowed)
