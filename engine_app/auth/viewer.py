"""Who is asking: from a session's cookie or an API token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from engine.errors import Unauthenticated
from engine.store.db.database import Database
from engine.store.writes import users
from engine_app.auth import secrets
from engine_app.auth.limits import Limits

COOKIE = "engine_session"


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person who is let in. ``token`` is the name of the API token they came with."""

    id: str
    name: str
    token: str | None = None


def cookie_of(header: str) -> str:
    """Return the session's secret from a ``Cookie`` header, or an empty text."""
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def of_cookie(database: Database, secret: str | None) -> Viewer | None:
    """Return whose session the cookie's value is, or None."""
    return of_session(database, secrets.digest(secret)) if secret else None


def of_session(database: Database, digest: str) -> Viewer | None:
    """Return whose session it is by the digest of its secret, or None.

    Asks the database each time, so that signing out and shutting out work at once.
    """
    now = database.now()
    user = database.read(lambda connection: users.of_session(connection, digest, now))
    return None if user is None else Viewer(user.id, user.name)


def of_sessions(database: Database, digests: Iterable[str]) -> dict[str, Viewer]:
    """Return whose the sessions are that are valid, by the digests of their secrets."""
    now = database.now()
    found = database.read(lambda connection: users.of_sessions(connection, digests, now))
    return {digest: Viewer(user.id, user.name) for digest, user in found.items()}


def of_token(database: Database, secret: str) -> Viewer | None:
    """Return whose API token this is, or None; notes its use."""
    if not secret.startswith(secrets.TOKEN_PREFIX):
        return None
    found = database.read(lambda connection: users.of_token(connection, secrets.digest(secret)))
    if found is None:
        return None
    user, token = found
    now = database.now()
    if token.last_used_at is None or now - token.last_used_at > users.TOUCH_EVERY:
        database.write(lambda connection: users.touch_token(connection, token.id, now))
    return Viewer(user.id, user.name, token.name)


def sign_in(
    database: Database, limits: Limits, *, name: str, password: str, address: str, hours: int
) -> str:
    """Check a password, open a session and return its secret for the cookie.

    Args:
        limits: shared by the process: counts attempts by account and address.
        address: where the request came from.
        hours: how long the session lasts.

    Raises:
        RateLimited: too many failures from there or for that name.
        Unauthenticated: the name and password do not fit; which of the two is not said.
    """
    with limits.attempt(name, address):
        return _by_password(database, name, password, hours)


def _by_password(database: Database, name: str, password: str, hours: int) -> str:
    # Twice: another sign-in may store the same password anew while this one is checked.
    for _ in range(2):
        found = database.read(lambda connection: users.password_of(connection, name))
        user_id, stored = found or ("", None)
        if not secrets.password_fits(stored, password) or stored is None:
            break
        secret = open_session(database, user_id, hours=hours, password_hash=stored)
        if secret is not None:
            if secrets.is_outdated(stored):
                _strengthen(database, user_id, stored, password)
            return secret
    raise Unauthenticated("this name and password do not fit together")


def _strengthen(database: Database, user_id: str, stored: str, password: str) -> None:
    fresh = secrets.hash_password(password)
    database.write(lambda connection: users.rehash_password(connection, user_id, stored, fresh))


def open_session(
    database: Database, user_id: str, *, hours: int, password_hash: str | None = None
) -> str | None:
    """Open a session for the person and return its secret for the cookie.

    None when the person is shut out, or ``password_hash``, if given, is not the password's.
    """
    secret, now = secrets.new_secret(), database.now()
    opened = database.write(
        lambda connection: users.open_session(
            connection,
            user_id,
            secrets.digest(secret),
            now=now,
            hours=hours,
            password_hash=password_hash,
        )
    )
    return secret if opened else None


def sign_out(database: Database, secret: str) -> str:
    """End the session of that cookie; return the digest of its secret."""
    digest = secrets.digest(secret)
    database.write(lambda connection: users.close_session(connection, digest))
    return digest
