"""Links that sign in once. Opening one shows a button; only pressing it uses the link up, so
that the preview of a chat or a mail scanner does not."""

from __future__ import annotations

from engine.store import users
from engine.store.database import Database
from engine_app.auth import secrets

LIFETIME = 600  # seconds
PATH = "/api/login/link/"


def create_link(database: Database, user_id: str) -> str:
    """Return the path of a page that signs the person in once within ten minutes."""
    secret, now = secrets.new_secret(), database.now()
    until = now + LIFETIME * 1_000_000
    database.write(
        lambda connection: users.add_link(connection, user_id, secrets.digest(secret), now, until)
    )
    return PATH + secret


def redeem(database: Database, secret: str) -> str | None:
    """Use the link up and return its person's id; None when it does not work (any more)."""
    now = database.now()
    return database.write(
        lambda connection: users.redeem_link(connection, secrets.digest(secret), now)
    )
