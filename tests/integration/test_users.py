"""Who is let in, and that nothing lets anyone in twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from engine.errors import Conflict, InvalidError, NotFound, RateLimited, Unauthenticated
from engine.store import users
from engine.store.database import Database
from engine_app.auth import links, secrets, viewer
from engine_app.auth.limits import Limits
from engine_app.auth.tokens import create_token
from tests.support import rows

PASSWORD = "correct horse"


@pytest.fixture
def ada(database: Database) -> str:
    hashed = secrets.hash_password(PASSWORD)
    now = database.now()
    return database.write(lambda c: users.add(c, "ada", now, password_hash=hashed))


def sign_in(database: Database, name: str, password: str, limits: Limits | None = None) -> str:
    return viewer.sign_in(
        database, limits or Limits(), name=name, password=password, address="10.0.0.1", hours=1
    )


def test_a_name_is_given_once(database: Database, ada: str) -> None:
    with pytest.raises(Conflict):
        rows.user(database, "ada")


def test_the_first_user_is_the_one_added_first(database: Database) -> None:
    assert database.read(users.first) is None
    first = rows.user(database, "zoe")
    database.write(lambda c: users.add(c, "ada", rows.NOW + 1))
    found = database.read(users.first)
    assert found is not None
    assert found.id == first
    assert [user.name for user in database.read(users.listed)] == ["ada", "zoe"]


def test_the_right_password_opens_a_session_until_signed_out(database: Database, ada: str) -> None:
    secret = sign_in(database, "ada", PASSWORD)
    assert viewer.of_cookie(database, secret) == viewer.Viewer(ada, "ada")
    viewer.sign_out(database, secret)
    assert viewer.of_cookie(database, secret) is None


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_name_or_password_is_told_in_the_same_words(
    database: Database, ada: str, name: str, password: str
) -> None:
    with pytest.raises(Unauthenticated, match="this name and password do not fit together"):
        sign_in(database, name, password)


def test_a_user_without_a_password_cannot_sign_in_by_one(database: Database) -> None:
    rows.user(database, "ada")
    with pytest.raises(Unauthenticated):
        sign_in(database, "ada", "")


def test_too_many_failures_must_wait(database: Database, ada: str) -> None:
    limits = Limits()
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            sign_in(database, "ada", "wrong", limits)
    with pytest.raises(RateLimited) as caught:
        sign_in(database, "ada", PASSWORD, limits)
    assert 0 < caught.value.retry_after <= 300


def test_a_session_ends_by_time_by_password_and_by_shutting_out(
    database: Database, ada: str
) -> None:
    late = viewer.open_session(database, ada, hours=0)
    assert viewer.of_cookie(database, late) is None
    before = sign_in(database, "ada", PASSWORD)
    hashed = secrets.hash_password("another password")
    database.write(lambda c: users.set_password(c, ada, hashed))
    assert viewer.of_cookie(database, before) is None
    after = sign_in(database, "ada", "another password")
    now = database.now()
    database.write(lambda c: users.disable(c, ada, now))
    assert viewer.of_cookie(database, after) is None
    with pytest.raises(Unauthenticated):
        sign_in(database, "ada", "another password")


def test_a_link_is_redeemed_once_also_by_many_at_once(database: Database, ada: str) -> None:
    secret = links.create_link(database, ada).removeprefix(links.PATH)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: links.redeem(database, secret), range(8)))
    assert sorted(found, key=str) == sorted([ada] + [None] * 7, key=str)


def test_a_link_is_over_after_ten_minutes_or_with_its_user(database: Database, ada: str) -> None:
    old = links.create_link(database, ada).removeprefix(links.PATH)
    later = database.now() + links.LIFETIME * rows.SECOND
    assert database.write(lambda c: users.redeem_link(c, secrets.digest(old), later)) is None
    now = database.now()
    database.write(lambda c: users.disable(c, ada, now))
    assert links.redeem(database, old) is None


def test_a_token_lets_in_until_revoked_and_only_its_owner_revokes_it(
    database: Database, ada: str
) -> None:
    eve = rows.user(database, "eve")
    token_id, secret = create_token(database, ada, "ci")
    assert secret.startswith("ee_")
    found = viewer.of_token(database, secret)
    assert found == viewer.Viewer(ada, "ada", "ci")
    (row,) = database.read(lambda c: users.tokens(c, ada))
    assert row.last_used_at is not None
    assert row.hint == secret[:7]
    now = database.now()
    with pytest.raises(NotFound):
        database.write(lambda c: users.revoke_token(c, eve, token_id, now))
    database.write(lambda c: users.revoke_token(c, ada, token_id, now))
    assert viewer.of_token(database, secret) is None


def test_no_secret_is_kept_in_the_clear(database: Database, ada: str) -> None:
    session = sign_in(database, "ada", PASSWORD)
    link = links.create_link(database, ada).removeprefix(links.PATH)
    _, token = create_token(database, ada, "ci")
    tables = ("users", "sessions", "login_links", "tokens")
    kept = database.read(
        lambda c: str([c.execute(text(f"SELECT * FROM {table}")).all() for table in tables])
    )
    for secret in (session, link, token, PASSWORD):
        assert secret not in kept


def test_a_short_password_is_refused() -> None:
    with pytest.raises(InvalidError):
        secrets.hash_password("short")
