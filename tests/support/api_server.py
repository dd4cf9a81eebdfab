"""The API alone under a real server: what a stream needs to be seen as it flows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.routing import Mount

from actors.client import open_client
from engine.settings import current
from engine_app.api import build_api
from engine_app.pubsub import hub


def app() -> Starlette:
    """Return the application, built from the environment's settings."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        listener = asyncio.create_task(hub.listen(current().redis))
        yield
        listener.cancel()

    return Starlette(routes=[Mount("/", build_api(open_client(current())))], lifespan=lifespan)
