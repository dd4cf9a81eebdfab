"""The REST API: ``build_api`` gives the application that serves ``/api``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from engine_app.api import (
    access,
    answers,
    bulk,
    docs,
    events,
    executions,
    login,
    operations,
    records,
    schedules,
    steering,
    stranded,
    values,
    workflows,
)
from engine_app.api.guard import Parts
from engine_app.api.middleware import (
    HeadAsGet,
    HostGuard,
    Nowhere,
    PlainPaths,
    Proxies,
    RelativeRedirects,
    SecurityHeaders,
)
from engine_app.api.problems import Problem, install
from engine_app.auth.limits import Limits
from engine_app.auth.places import allowed_hosts, allowed_origins
from engine_app.auth.proxies import networks
from engine_app.checks import Checks

if TYPE_CHECKING:
    from actors.client import Client

__all__ = ["build_api", "routes"]

# Stranded first: its paths would be taken for the ids of executions.
_ROUTERS = (
    login,
    stranded,
    bulk,
    executions,
    values,
    records,
    steering,
    answers,
    events,
    workflows,
    schedules,
    operations,
    access,
    docs,
)
_ABOUT = (
    "Durable workflows on Dramatiq. Times are ISO 8601 in UTC. Errors are problem details "
    "(RFC 9457) with a `code` to branch on. What belongs to someone else is answered as if it "
    "were not there."
)


def build_api(
    client: Client,
    origins: frozenset[str] | None = None,
    over: Callable[[str], None] = lambda session: None,
    checks: Checks | None = None,
) -> FastAPI:
    """Return an application with everything under ``/api``; other paths are free to mount.

    The API is an application of its own inside it, so that an unknown path below ``/api`` is
    answered as a problem, never by the pages mounted beside it.

    Args:
        client: the engine.
        origins: of our own pages; by default as the settings say.
        over: is told of each session that is signed out of, by the digest of its secret.
        checks: checks the documents that are sent.
    """
    origins = allowed_origins(client.settings) if origins is None else origins
    parts = Parts(client, client.settings, Limits(), origins, over, checks or Checks())
    outer = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    outer.router.routes.append(Route("/api", endpoint=Nowhere()))
    outer.mount("/api", _inner(parts))
    outer.add_middleware(RelativeRedirects)
    outer.add_middleware(PlainPaths)
    outer.add_middleware(HostGuard, hosts=allowed_hosts(origins))
    outer.add_middleware(Proxies, trusted=networks(client.settings.trusted_proxies))
    return outer


def _inner(parts: Parts) -> FastAPI:
    api = FastAPI(
        title="Execution Engine",
        version=_version(),
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": "/api"}],
        redirect_slashes=False,
        responses={"default": {"model": Problem, "description": "what is wrong"}},
    )
    api.state.parts = parts
    install(api, routes())
    for module in _ROUTERS:
        api.include_router(module.router)
    api.add_middleware(HeadAsGet)
    api.add_middleware(SecurityHeaders, api=True)
    return api


def routes() -> list[APIRoute]:
    """Return every route of the API."""
    found = [route for module in _ROUTERS for route in module.router.routes]
    return [route for route in found if isinstance(route, APIRoute)]


def _version() -> str:
    try:
        return version("execution-engine")
    except PackageNotFoundError:
        return "0"
