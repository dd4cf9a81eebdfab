"""The API over a real database and Redis, called as a browser and as a program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.writes import users
from engine_app.api import build_api
from engine_app.auth.tokens import create_token
from engine_app.auth.viewer import COOKIE, open_session

if TYPE_CHECKING:
    from actors.client import Client

ORIGIN = "http://127.0.0.1:8000"


@dataclass
class Web:
    """The API and two people, each with a program (a token) and a browser (a cookie)."""

    client: Client
    app: FastAPI
    owner_id: str
    stranger_id: str

    @property
    def database(self) -> Database:
        """What the API reads and writes."""
        return self.client.database

    def nobody(self, address: str = "testclient") -> TestClient:
        """Return a caller whom nobody knows, who is connected from that address."""
        return TestClient(
            self.app, base_url=ORIGIN, follow_redirects=False, client=(address, 50_000)
        )

    def program(self, user_id: str | None = None) -> TestClient:
        """Return a caller with an API token, the owner's by default."""
        caller = self.nobody()
        _, secret = create_token(self.database, user_id or self.owner_id, "test")
        caller.headers["Authorization"] = f"Bearer {secret}"
        return caller

    def browser(self) -> TestClient:
        """Return the owner's browser on one of our own pages."""
        caller = self.nobody()
        caller.headers["Origin"] = ORIGIN
        caller.cookies.set(COOKIE, open_session(self.database, self.owner_id, hours=1) or "")
        return caller


@contextmanager
def web(database_url: str, redis_url: str, **more: Any) -> Iterator[Web]:
    """Yield the API over a migrated database; ``more`` are settings by their names."""
    # Importing actors makes this process's broker, which wants to know where Redis is.
    os.environ.setdefault("REDIS_URL", redis_url)
    from actors.client import open_client

    settings = Settings(DATABASE_URL=database_url, REDIS_URL=redis_url, **more)
    client = open_client(settings)
    now = client.database.now()
    owner = client.database.write(lambda c: users.add(c, "ada", now))
    stranger = client.database.write(lambda c: users.add(c, "eve", now + 1))
    try:
        yield Web(client, build_api(client), owner, stranger)
    finally:
        client.close()


def problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Check that the response is that problem and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body
