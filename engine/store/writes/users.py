"""People, and what lets them in: sessions, links that work once, API tokens.

Secrets never come here: only their SHA-256. They carry 256 bits of chance, so a plain digest
cannot be guessed back; passwords, which can, come as argon2id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from engine.errors import Conflict, NotFound
from engine.ids import new_id
from engine.store.db.pagination import PAGE, Page, page
from engine.store.tables import LoginLink, Session, Token, User, table

TOUCH_EVERY = 60_000_000  # µs between two notes of a token's last use: not one write per request
_HOUR = 3_600_000_000  # µs
_USERS = table(User)
_LINKS = table(LoginLink)
_SESSIONS = table(Session)
_TOKENS = table(Token)


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A person."""

    id: str
    name: str
    created_at: int
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """An API token as its owner sees it: the secret is gone."""

    id: str
    name: str
    hint: str
    created_at: int
    last_used_at: int | None
    revoked_at: int | None


def _users() -> Select[Any]:
    return select(*(_USERS.c[name] for name in UserRecord.__dataclass_fields__))


def _record(row: Any) -> UserRecord:
    return UserRecord(row.id, row.name, row.created_at, row.disabled_at)


def add(connection: Connection, name: str, now: int, *, password_hash: str | None = None) -> str:
    """Add a person and return the id.

    Raises:
        Conflict: the name is taken.
    """
    user_id = new_id()
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # RETURNING tells an insert from none on both databases; psycopg's rowcount does not.
    added = connection.execute(
        dialect.insert(_USERS)
        .on_conflict_do_nothing(index_elements=["name"])
        .values(id=user_id, name=name, password_hash=password_hash, created_at=now)
        .returning(_USERS.c.id)
    ).one_or_none()
    if added is None:
        raise Conflict(f"there is a user {name} already", hint="choose another name")
    return user_id


def find(connection: Connection, name: str) -> UserRecord:
    """Return the person of that name.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(_users().where(_USERS.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"there is no user {name}", hint="`engine user list` names them")
    return _record(row)


def first(connection: Connection) -> UserRecord | None:
    """Return the person who was added first: the one who set the engine up."""
    row = connection.execute(_users().order_by(_USERS.c.created_at, _USERS.c.id).limit(1)).first()
    return None if row is None else _record(row)


def listed(connection: Connection) -> list[UserRecord]:
    """Return all people by name."""
    return [_record(row) for row in connection.execute(_users().order_by(_USERS.c.name))]


def password_of(connection: Connection, name: str) -> tuple[str, str | None] | None:
    """Return the id and the argon2id hash of the enabled person of that name."""
    row = connection.execute(
        select(_USERS.c.id, _USERS.c.password_hash).where(
            _USERS.c.name == name, _USERS.c.disabled_at.is_(None)
        )
    ).one_or_none()
    return None if row is None else (row.id, row.password_hash)


def set_password(connection: Connection, user_id: str, password_hash: str) -> None:
    """Change the password; sessions and links end: whoever knew the old one is out.

    Tokens go on working: see ``revoke_tokens``.
    """
    connection.execute(
        update(_USERS).where(_USERS.c.id == user_id).values(password_hash=password_hash)
    )
    _shut_out(connection, user_id)


def _shut_out(connection: Connection, user_id: str) -> None:
    for rows in (_SESSIONS, _LINKS):
        connection.execute(delete(rows).where(rows.c.user_id == user_id))


def rehash_password(connection: Connection, user_id: str, old: str, new: str) -> None:
    """Store the same password under stronger parameters, unless it was changed meanwhile."""
    connection.execute(
        update(_USERS)
        .where(_USERS.c.id == user_id, _USERS.c.password_hash == old)
        .values(password_hash=new)
    )


def disable(connection: Connection, user_id: str, now: int) -> None:
    """Shut a person out: sessions end, tokens and links stop working at once."""
    connection.execute(update(_USERS).where(_USERS.c.id == user_id).values(disabled_at=now))
    _shut_out(connection, user_id)


def open_session(
    connection: Connection,
    user_id: str,
    secret_hash: str,
    *,
    now: int,
    hours: int,
    password_hash: str | None = None,
) -> bool:
    """Add a session of so many hours, forget those that are over, and return True.

    Returns False, and adds none, when the person is shut out or ``password_hash``, if given, is
    not the password's any more. The person's row is locked: a change of the password comes
    before, and is seen, or after, and ends the session.
    """
    row = connection.execute(
        select(_USERS.c.password_hash)
        .where(_USERS.c.id == user_id, _USERS.c.disabled_at.is_(None))
        .with_for_update()
    ).one_or_none()
    if row is None or (password_hash is not None and row.password_hash != password_hash):
        return False
    connection.execute(delete(_SESSIONS).where(_SESSIONS.c.expires_at < now))
    connection.execute(
        insert(_SESSIONS),
        {
            "secret_hash": secret_hash,
            "user_id": user_id,
            "created_at": now,
            "expires_at": now + hours * _HOUR,
        },
    )
    return True


def of_session(connection: Connection, secret_hash: str, now: int) -> UserRecord | None:
    """Return the enabled person whose session this is, while it lasts."""
    return of_sessions(connection, [secret_hash], now).get(secret_hash)


def of_sessions(
    connection: Connection, secret_hashes: Iterable[str], now: int
) -> dict[str, UserRecord]:
    """Return the enabled people whose sessions these are, of those that last."""
    rows = connection.execute(
        _users()
        .add_columns(_SESSIONS.c.secret_hash)
        .join(_SESSIONS, _SESSIONS.c.user_id == _USERS.c.id)
        .where(
            _SESSIONS.c.secret_hash.in_(tuple(secret_hashes)),
            _SESSIONS.c.expires_at > now,
            _USERS.c.disabled_at.is_(None),
        )
    )
    return {row.secret_hash: _record(row) for row in rows}


def close_session(connection: Connection, secret_hash: str) -> None:
    """End a session; one that is over already stays so."""
    connection.execute(delete(_SESSIONS).where(_SESSIONS.c.secret_hash == secret_hash))


def add_link(
    connection: Connection, user_id: str, secret_hash: str, now: int, expires_at: int
) -> None:
    """Add a link that signs in once, and forget those that are over."""
    connection.execute(delete(_LINKS).where(_LINKS.c.expires_at < now))
    connection.execute(
        insert(_LINKS),
        {"secret_hash": secret_hash, "user_id": user_id, "expires_at": expires_at},
    )


def redeem_link(connection: Connection, secret_hash: str, now: int) -> str | None:
    """Use a link up and return its person's id; None when it was used, is over, or never was.

    One statement: of two that redeem at once exactly one gets in. The person's row is locked
    before it, as by whoever ends their links: see ``open_session``.
    """
    person = select(_LINKS.c.user_id).where(_LINKS.c.secret_hash == secret_hash)
    connection.execute(select(_USERS.c.id).where(_USERS.c.id.in_(person)).with_for_update())
    enabled = select(_USERS.c.id).where(_USERS.c.disabled_at.is_(None))
    row = connection.execute(
        update(_LINKS)
        .where(
            _LINKS.c.secret_hash == secret_hash,
            _LINKS.c.used_at.is_(None),
            _LINKS.c.expires_at > now,
            _LINKS.c.user_id.in_(enabled),
        )
        .values(used_at=now)
        .returning(_LINKS.c.user_id)
    ).one_or_none()
    return None if row is None else str(row.user_id)


def add_token(
    connection: Connection, user_id: str, *, name: str, secret_hash: str, hint: str, now: int
) -> str:
    """Add an API token and return its id."""
    token_id = new_id()
    connection.execute(
        insert(_TOKENS),
        {
            "id": token_id,
            "user_id": user_id,
            "name": name,
            "secret_hash": secret_hash,
            "hint": hint,
            "created_at": now,
        },
    )
    return token_id


def of_token(connection: Connection, secret_hash: str) -> tuple[UserRecord, TokenRecord] | None:
    """Return the enabled person whose unrevoked token this is, with the token."""
    row = connection.execute(
        select(
            _USERS,
            *(_TOKENS.c[name].label(f"token_{name}") for name in TokenRecord.__dataclass_fields__),
        )
        .join(_TOKENS, _TOKENS.c.user_id == _USERS.c.id)
        .where(
            _TOKENS.c.secret_hash == secret_hash,
            _TOKENS.c.revoked_at.is_(None),
            _USERS.c.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    token = {name: getattr(row, f"token_{name}") for name in TokenRecord.__dataclass_fields__}
    return _record(row), TokenRecord(**token)


def touch_token(connection: Connection, token_id: str, now: int) -> None:
    """Note that the token was used, at most once a minute."""
    connection.execute(
        update(_TOKENS)
        .where(
            _TOKENS.c.id == token_id,
            or_(_TOKENS.c.last_used_at.is_(None), _TOKENS.c.last_used_at < now - TOUCH_EVERY),
        )
        .values(last_used_at=now)
    )


def tokens(
    connection: Connection, user_id: str, *, cursor: str | None = None, limit: int = PAGE
) -> Page[TokenRecord]:
    """Return the person's tokens, newest first, revoked ones too.

    Raises:
        InvalidQuery: a limit that is not allowed, a cursor that no page gave.
    """
    statement = select(*(_TOKENS.c[name] for name in TokenRecord.__dataclass_fields__)).where(
        _TOKENS.c.user_id == user_id
    )
    by = (_TOKENS.c.id,)
    found = page(connection, statement, by, newest=True, cursor=cursor, limit=limit)
    return found.map(lambda row: TokenRecord(**row._asdict()))


def working_tokens(connection: Connection, user_id: str) -> int:
    """Return how many of the person's tokens are not revoked."""
    count = select(func.count()).select_from(_TOKENS)
    found = count.where(_TOKENS.c.user_id == user_id, _TOKENS.c.revoked_at.is_(None))
    return int(connection.execute(found).scalar_one())


def revoke_tokens(connection: Connection, user_id: str, now: int) -> int:
    """Revoke all of the person's tokens, and return how many worked until now."""
    revoked = connection.execute(
        update(_TOKENS)
        .where(_TOKENS.c.user_id == user_id, _TOKENS.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(_TOKENS.c.id)
    )
    return len(revoked.all())


def revoke_token(connection: Connection, user_id: str, token_id: str, now: int) -> None:
    """Revoke a token of the person: it stops working at once.

    Raises:
        NotFound: there is none, it belongs to someone else, or it was revoked before.
    """
    revoked = connection.execute(
        update(_TOKENS)
        .where(
            _TOKENS.c.id == token_id,
            _TOKENS.c.user_id == user_id,
            _TOKENS.c.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    ).rowcount
    if not revoked:
        raise NotFound(f"there is no token {token_id}", hint="`engine token list` names them")
