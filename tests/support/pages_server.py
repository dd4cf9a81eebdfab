"""The pages under a real server, as ``engine up`` starts it, with a look into its memory."""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from engine_app.engine_app import app as pages

INSIGHT = "/insight"


def app() -> ASGIApp:
    """Return the pages, and at ``INSIGHT`` what they keep at this moment."""
    served = pages()

    async def with_insight(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == INSIGHT:
            return await JSONResponse(_kept())(scope, receive, send)
        return await served(scope, receive, send)

    return with_insight


def _kept() -> dict[str, int]:
    server = pages.sio
    assert server is not None
    return {
        "states": len(pages.state_manager.states),  # type: ignore[attr-defined]  # of the one in memory
        "watchers": sum(".watch|" in task.get_name() for task in asyncio.all_tasks()),
        "sockets": len(server.eio.sockets),
    }
