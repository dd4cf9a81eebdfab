"""Links that sign in once. Opening one shows a button; only pressing it uses the link up, so
that the preview of a chat or a mail scanner does not."""

from __future__ import annotations

from engine.store.db.database import Connection, Database
from engine.store.writes import users
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


def redeem(database: Database, secret: str, *, hours: int) -> str | None:
    """Use the link up, open a session of ``hours`` and return its secret for the cookie.

    None when the link does not work (any more). Both in one transaction: a change of the
    password, which ends links and sessions, does not come between them.
    """
    session, now = secrets.new_secret(), database.now()

    def work(connection: Connection) -> str | None:
        user_id = users.redeem_link(connection, secrets.digest(secret), now)
        opened = user_id is not None and users.open_session(
            connection, user_id, secrets.digest(session), now=now, hours=hours
        )
        return session if opened else None

    return database.write(work)
