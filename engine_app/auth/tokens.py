"""API tokens: made here, shown once."""

from __future__ import annotations

from engine.store.db.database import Database
from engine.store.writes import users
from engine_app.auth import secrets

_HINT = 7  # characters that tell one's tokens apart in a list


def create_token(database: Database, user_id: str, name: str) -> tuple[str, str]:
    """Make an API token and return its id and its secret, which is not kept."""
    secret, now = secrets.new_token(), database.now()
    token_id = database.write(
        lambda connection: users.add_token(
            connection,
            user_id,
            name=name,
            secret_hash=secrets.digest(secret),
            hint=secret[:_HINT],
            now=now,
        )
    )
    return token_id, secret
