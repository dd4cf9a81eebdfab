"""The one rule of every route: signed in, unless it is marked as open to all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, Request

from engine.errors import Forbidden, Unauthenticated
from engine.settings import Settings
from engine.store.db.database import Database
from engine_app.auth.limits import Limits
from engine_app.auth.places import is_ours
from engine_app.auth.viewer import COOKIE, Viewer, of_cookie, of_token
from engine_app.checks import Checks

if TYPE_CHECKING:
    from actors.client import Client

F = TypeVar("F", bound=Callable[..., Any])
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_open: set[Callable[..., Any]] = set()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with."""

    client: Client
    settings: Settings
    limits: Limits
    origins: frozenset[str]
    over: Callable[[str], None]
    checks: Checks = field(default_factory=Checks)

    @property
    def database(self) -> Database:
        """The client's database."""
        return self.client.database


def open_to_all(endpoint: F) -> F:
    """Mark an endpoint as one that asks nobody who they are."""
    _open.add(endpoint)
    return endpoint


def is_open(endpoint: Callable[..., Any]) -> bool:
    """Return whether the endpoint was marked with ``open_to_all``."""
    return endpoint in _open


def parts_of(request: Request) -> Parts:
    """Return what the app was built with."""
    parts: Parts = request.app.state.parts
    return parts


def guard(request: Request) -> None:
    """Let the request through, or refuse it. Every route that is not open asks it first.

    Raises:
        Unauthenticated: no valid session or token came with it.
        Forbidden: a form of another site sent it.
    """
    viewer = viewer_of(request)
    if viewer is None:
        raise Unauthenticated(
            "sign in, or send an API token",
            hint="Authorization: Bearer ee_…, made by `engine token create NAME`",
        )
    # A token is never sent by a browser on its own: only a cookie can be abused by another site,
    # to change, or to read where something before us allows it. Our pages read without an Origin.
    changes = request.method not in _SAFE
    if viewer.token is None and (changes or "origin" in request.headers):
        require_own_page(request)
    request.state.viewer = viewer


def viewer_of(request: Request) -> Viewer | None:
    """Return who sends the request, asked of the database now."""
    database = parts_of(request).database
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return of_token(database, secret.strip())
    return of_cookie(database, request.cookies.get(COOKIE))


def require_own_page(request: Request) -> None:
    """Check that one of our own pages sent the request.

    Raises:
        Forbidden: it did not, or does not say.
    """
    if not is_ours(request.headers, parts_of(request).origins):
        raise Forbidden(
            "the request does not come from one of the engine's own pages",
            hint="name the pages' address in ENGINE_ALLOWED_ORIGINS, or use an API token",
        )


def _viewer(request: Request) -> Viewer:
    viewer: Viewer = request.state.viewer
    return viewer


Me = Annotated[Viewer, Depends(_viewer)]
With = Annotated[Parts, Depends(parts_of)]
