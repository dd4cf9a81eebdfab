"""Who opens the live channel. What goes on from the request is who they are, and little else."""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.errors import EngineError
from engine_app.api.problems import problem
from engine_app.auth import secrets
from engine_app.auth.viewer import cookie_of, of_session
from engine_app.db_access import database, in_thread

PATH = "/_event"
SESSION = "engine.session"  # in the scope: the digest of the session's secret, of a valid one only
ANONYMOUS = 100  # sockets at once of those who are not signed in: enough to be led to sign in

# The protocol needs these. All others, the cookie first, are secrets in a log that nobody reads.
_NEEDED = frozenset({b"host", b"origin", b"upgrade", b"connection"})
_VERSION = re.compile(r"[0-9]+(\.[0-9a-z]+){1,4}")  # what our own pages offer to speak


class Handshake:
    """Lets a socket of our own pages through, marked with its session.

    Reflex and its libraries log requests and events as they are, in more places than can be
    watched: so they are given none of the headers.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins
        self._anonymous = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or refuse the socket."""
        path = scope.get("path", "")
        if path != PATH and not path.startswith(f"{PATH}/"):
            return await self._app(scope, receive, send)
        if scope["type"] == "http":
            return await _no_socket(scope, receive, send)
        headers = Headers(scope=scope)
        # A program need not say where it comes from; a browser always does.
        if headers.get("origin", "").lower() not in self._origins | {""}:
            return await _refuse(send)
        try:
            session = await session_of_cookies(headers.get("cookie", ""))
        except EngineError:
            return await _refuse(send)  # the database is away: the page asks again
        if session is not None:
            return await self._app({**_bare(scope), SESSION: session}, receive, send)
        if self._anonymous >= ANONYMOUS:
            return await _refuse(send)
        self._anonymous += 1
        try:
            return await self._app(_bare(scope), receive, send)
        finally:
            self._anonymous -= 1


async def session_of_cookies(cookies: str) -> str | None:
    """Return the digest of the secret of the valid session that the cookies tell of, or None.

    Raises:
        Unavailable: the database does not answer.
    """
    secret = cookie_of(cookies)
    if not secret:
        return None
    digest = secrets.digest(secret)
    viewer = await in_thread(lambda: of_session(database(), digest))
    return None if viewer is None else digest


def _bare(scope: Scope) -> Scope:
    """Return the scope without what nobody needs from here on."""
    offered = [name for name in scope.get("subprotocols", ()) if _VERSION.fullmatch(name)]
    named = [(b"sec-websocket-protocol", name.encode()) for name in offered[:1]]
    kept = [(name, value) for name, value in scope["headers"] if name in _NEEDED]
    return {**scope, "headers": kept + named, "subprotocols": offered[:1]}


async def _refuse(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})


async def _no_socket(scope: Scope, receive: Receive, send: Send) -> None:
    said = "this is the pages' live channel, and speaks by websocket only"
    refusal = problem(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", said)
    refusal.headers["Upgrade"] = "websocket"
    await refusal(scope, receive, send)
