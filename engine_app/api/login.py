"""Signing in and out: native forms, so that the session's cookie never meets a script."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from engine.errors import EngineError, RateLimited
from engine_app.api.guard import Parts, With, open_to_all, parts_of, require_own_page
from engine_app.api.strict import up_to
from engine_app.auth import links
from engine_app.auth.viewer import COOKIE, sign_in, sign_out

HOME = "/monitoring"
router = APIRouter(route_class=up_to(10_000), tags=["sign-in"], include_in_schema=False)


@router.post("/login")
@open_to_all
def login(
    request: Request,
    parts: With,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=2000)] = HOME,
) -> Response:
    """Sign in with a password and go on to `next`; else back to the sign-in page."""
    require_own_page(request)
    address = request.client.host if request.client else ""
    hours = parts.settings.session_hours
    try:
        secret = sign_in(
            parts.database,
            parts.limits,
            name=name,
            password=password,
            address=address,
            hours=hours,
        )
    except EngineError as error:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        why = "limited" if isinstance(error, RateLimited) else "credentials"
        target = quote(local_path(next), safe="")
        return RedirectResponse(f"/login?error={why}&next={target}", 303)
    return _let_in(request, parts, secret, local_path(next))


@router.post("/logout")
@open_to_all
def logout(request: Request, parts: With) -> Response:
    """End the session and go to the sign-in page."""
    require_own_page(request)
    _end_session(request, parts)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get("/login/link/{secret}")
@open_to_all
def show_link(secret: str) -> Response:
    """Show a button: opening the page alone, as previews do, must not use the link up."""
    return _page(
        "Sign in",
        '<form method="post"><button autofocus>Sign in to the Execution Engine</button></form>'
        "<p>The link works once, for ten minutes from when it was made.</p>",
    )


@router.post("/login/link/{secret}")
@open_to_all
def redeem_link(secret: str, request: Request, parts: With) -> Response:
    """Use the link up and sign in."""
    require_own_page(request)
    opened = links.redeem(parts.database, secret, hours=parts.settings.session_hours)
    if opened is None:
        return _page(
            "This link does not work any more",
            "<p>It was used, its ten minutes are over, or the password was changed. Get a new one "
            "with <code>engine user link</code>, or <a href='/login'>sign in by password</a>.</p>",
            status=410,
        )
    return _let_in(request, parts, opened, HOME)


def _let_in(request: Request, parts: Parts, secret: str, target: str) -> Response:
    _end_session(request, parts)
    settings = parts_of(request).settings
    response = RedirectResponse(target, 303)
    # Behind a proxy that speaks TLS the request looks plain; an https origin tells of the proxy.
    encrypted = any(origin.startswith("https://") for origin in settings.allowed_origins)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=settings.session_hours * 3600,
        path="/",
        secure=encrypted or request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return response


def _end_session(request: Request, parts: Parts) -> None:
    secret = request.cookies.get(COOKIE)
    if secret:
        parts.over(sign_out(parts.database, secret))


def local_path(target: str) -> str:
    """Return ``target`` when it is a path of ours, else the home page.

    Browsers read ``//host``, ``/\\host`` and control characters in ways that lead elsewhere.
    """
    parts = urlsplit(target)
    plain = target.isprintable() and "\\" not in target
    if plain and target.startswith("/") and not target.startswith("//") and not parts.netloc:
        return target
    return HOME


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;display:grid;place-content:center;gap:1rem;"
    "min-height:100vh;margin:0;padding:1rem;color-scheme:light dark;text-align:center}"
    "button{font:inherit;padding:.7rem 1.4rem;border-radius:8px;cursor:pointer}"
)
_POLICY = (
    "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)


def _page(title: str, body: str, *, status: int = 200) -> Response:
    html = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title>"
        "<meta name='viewport' content='width=device-width'><meta name='robots' content='noindex'>"
        f"<style>{_STYLE}</style><main><h1>{escape(title)}</h1>{body}</main></html>"
    )
    return HTMLResponse(html, status, {"Content-Security-Policy": _POLICY})
