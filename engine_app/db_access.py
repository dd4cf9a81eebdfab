"""The database and the engine's client, for code that must not block the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from actors.client import Client, open_client
from engine.settings import current
from engine.store.db.database import Database

T = TypeVar("T")

# Bounded: a hundred open pages must not take every connection, nor starve the API of the loop.
_POOL = ThreadPoolExecutor(8, thread_name_prefix="pages")


@cache
def client() -> Client:
    """Return this process's client, opened at the first call."""
    return open_client(current())


def database() -> Database:
    """Return this process's database."""
    return client().database


async def in_thread(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, run on one of a few threads."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, work)
