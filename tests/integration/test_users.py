"""Who is let in, and that nothing lets anyone in twice."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import text

from engine.errors import Conflict, InvalidError, NotFound, RateLimited, Unauthenticated
from engine.store.db.database import Database
from engine.store.writes import users
from engine_app.auth import links, secrets, viewer
from engine_app.auth.limits import PER_PAIR, Limits
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


def a_link(database: Database, user_id: str) -> str:
    return links.create_link(database, user_id).removeprefix(links.PATH)


def change_password(database: Database, user_id: str) -> None:
    hashed = secrets.hash_password("another password")
    database.write(lambda c: users.set_password(c, user_id, hashed))


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


def test_wrong_passwords_that_come_at_once_are_not_heard_more_often(
    database: Database, ada: str
) -> None:
    limits = Limits()

    def guess(number: int) -> type[Exception]:
        try:
            sign_in(database, "ada", f"wrong {number}", limits)
        except (Unauthenticated, RateLimited) as refusal:
            return type(refusal)
        raise AssertionError("a wrong password let somebody in")

    with ThreadPoolExecutor(40) as pool:
        heard = Counter(pool.map(guess, range(40)))
    assert heard == {Unauthenticated: PER_PAIR, RateLimited: 40 - PER_PAIR}


def test_a_session_ends_by_time_by_password_and_by_shutting_out(
    database: Database, ada: str
) -> None:
    late = viewer.open_session(database, ada, hours=0)
    assert late is not None
    assert viewer.of_cookie(database, late) is None
    before = sign_in(database, "ada", PASSWORD)
    change_password(database, ada)
    assert viewer.of_cookie(database, before) is None
    after = sign_in(database, "ada", "another password")
    now = database.now()
    database.write(lambda c: users.disable(c, ada, now))
    assert viewer.of_cookie(database, after) is None
    with pytest.raises(Unauthenticated):
        sign_in(database, "ada", "another password")


def test_a_link_is_redeemed_once_also_by_many_at_once(database: Database, ada: str) -> None:
    secret = a_link(database, ada)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: links.redeem(database, secret, hours=1), range(8)))
    opened = [session for session in found if session is not None]
    assert [viewer.of_cookie(database, session) for session in opened] == [
        viewer.Viewer(ada, "ada")
    ]


def test_a_link_is_over_after_ten_minutes(database: Database, ada: str) -> None:
    old = a_link(database, ada)
    later = database.now() + links.LIFETIME * rows.SECOND
    assert database.write(lambda c: users.redeem_link(c, secrets.digest(old), later)) is None


def test_links_end_with_the_password_and_with_their_user(database: Database, ada: str) -> None:
    eve = rows.user(database, "eve")
    changed, theirs = a_link(database, ada), a_link(database, eve)
    change_password(database, ada)
    assert links.redeem(database, changed, hours=1) is None
    shut = a_link(database, ada)
    now = database.now()
    database.write(lambda c: users.disable(c, ada, now))
    assert links.redeem(database, shut, hours=1) is None
    assert viewer.open_session(database, ada, hours=1) is None
    assert (
        database.read(lambda c: c.execute(text("SELECT count(*) FROM login_links")).scalar()) == 1
    )
    assert links.redeem(database, theirs, hours=1) is not None


def test_a_changed_password_leaves_tokens_unless_they_are_to_go(
    database: Database, ada: str
) -> None:
    (_, first), (_, second) = (create_token(database, ada, name) for name in ("ci", "cron"))
    eve = rows.user(database, "eve")
    _, theirs = create_token(database, eve, "ci")
    change_password(database, ada)
    assert database.read(lambda c: users.working_tokens(c, ada)) == 2
    assert viewer.of_token(database, first) is not None
    now = database.now()
    assert database.write(lambda c: users.revoke_tokens(c, ada, now)) == 2
    assert [viewer.of_token(database, one) for one in (first, second)] == [None, None]
    assert database.read(lambda c: users.working_tokens(c, ada)) == 0
    assert viewer.of_token(database, theirs) is not None


def test_whoever_signs_in_while_the_password_changes_is_out_too(
    database: Database, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = secrets.password_fits

    def changed_meanwhile(stored: str | None, password: str) -> bool:
        found = fits(stored, password)
        monkeypatch.setattr(secrets, "password_fits", fits)
        change_password(database, ada)
        return found

    monkeypatch.setattr(secrets, "password_fits", changed_meanwhile)
    with pytest.raises(Unauthenticated):
        sign_in(database, "ada", PASSWORD)
    kept = "SELECT count(*) FROM sessions"
    assert database.read(lambda c: c.execute(text(kept)).scalar()) == 0


def test_a_password_that_is_stored_anew_meanwhile_still_lets_in(
    database: Database, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = secrets.password_fits

    def stored_anew(stored: str | None, password: str) -> bool:
        found = fits(stored, password)
        monkeypatch.setattr(secrets, "password_fits", fits)
        again = secrets.hash_password(PASSWORD)
        database.write(lambda c: users.rehash_password(c, ada, stored or "", again))
        return found

    monkeypatch.setattr(secrets, "password_fits", stored_anew)
    assert viewer.of_cookie(database, sign_in(database, "ada", PASSWORD)) is not None


@pytest.mark.parametrize("way", ["link", "password"])
def test_no_session_outlives_a_change_of_the_password_that_it_meets(
    database: Database, ada: str, way: str
) -> None:
    def enter(number: int) -> None:
        if number == 4:
            change_password(database, ada)
        elif way == "link":
            links.redeem(database, made[number], hours=1)
        else:
            with suppress(Unauthenticated):
                sign_in(database, "ada", PASSWORD)

    made = [a_link(database, ada) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(8)))
    kept = "SELECT count(*) FROM sessions"
    assert database.read(lambda c: c.execute(text(kept)).scalar()) == 0


def test_a_token_lets_in_until_revoked_and_only_its_owner_revokes_it(
    database: Database, ada: str
) -> None:
    eve = rows.user(database, "eve")
    token_id, secret = create_token(database, ada, "ci")
    assert secret.startswith("ee_")
    found = viewer.of_token(database, secret)
    assert found == viewer.Viewer(ada, "ada", "ci")
    (row,) = database.read(lambda c: users.tokens(c, ada)).rows
    assert row.last_used_at is not None
    assert row.hint == secret[:7]
    now = database.now()
    with pytest.raises(NotFound):
        database.write(lambda c: users.revoke_token(c, eve, token_id, now))
    database.write(lambda c: users.revoke_token(c, ada, token_id, now))
    assert viewer.of_token(database, secret) is None


def test_no_secret_is_kept_in_the_clear(database: Database, ada: str) -> None:
    session = sign_in(database, "ada", PASSWORD)
    link = a_link(database, ada)
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
