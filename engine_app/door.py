"""What happens to a page's first request, before any script runs."""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine_app.auth.viewer import cookie_of

_PLACES = ("/monitoring", "/executions", "/workflows")
# Files that Reflex drew beforehand, each in a folder: without the slash it would redirect.
_DRAWN = frozenset({"/login", "/monitoring", "/workflows"})
# Nothing from anywhere else, ever. Inline: Reflex puts the theme and the routes into the page.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Door:
    """Leads those without a cookie to the sign-in page and back; whether the cookie is worth
    anything is asked of the database with each event (``engine_app.gate``)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page, or redirect."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = scope["path"].rstrip("/") or "/"
            if _is_page(path) and not _has_cookie(scope):
                query = scope["query_string"].decode("latin-1")
                asked = path + (f"?{query}" if query else "")
                target = f"/login?next={quote(asked, safe='')}"
                return await RedirectResponse(target, 303)(scope, receive, send)
            if path in _DRAWN:
                scope = {**scope, "path": f"{path}/", "raw_path": f"{path}/".encode()}

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Content-Security-Policy", _POLICY)
            await send(message)

        return await self._app(scope, receive, add if scope["type"] == "http" else send)


def _is_page(path: str) -> bool:
    return path == "/" or any(path == place or path.startswith(f"{place}/") for place in _PLACES)


def _has_cookie(scope: Scope) -> bool:
    return bool(cookie_of(Headers(scope=scope).get("cookie", "")))
