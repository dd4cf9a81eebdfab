"""Sign-ins are counted as they begin, forgotten in time, and never keep the owner out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from engine.errors import RateLimited, Unauthenticated, Unavailable
from engine_app.auth import secrets
from engine_app.auth.limits import PER_PAIR, WINDOW, Limits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(limits: Limits, account: str, address: str) -> None:
    """Try a wrong password."""
    with suppress(Unauthenticated), limits.attempt(account, address):
        raise Unauthenticated("wrong")


def succeed(limits: Limits, account: str, address: str) -> None:
    with limits.attempt(account, address):
        pass


def wait(limits: Limits, account: str, address: str) -> int:
    """Return the seconds until another try is heard; 0: it is heard now (and takes itself back)."""
    try:
        with suppress(Unavailable), limits.attempt(account, address):
            raise Unavailable("only asked")
    except RateLimited as refusal:
        return refusal.retry_after
    return 0


def test_the_eleventh_try_waits_until_the_oldest_failure_is_forgotten() -> None:
    clock = Clock()
    limits = Limits(clock)
    for _ in range(PER_PAIR):
        assert wait(limits, "ada", "a") == 0
        fail(limits, "ada", "a")
        clock.now += 1
    assert wait(limits, "ada", "a") == WINDOW - PER_PAIR
    clock.now += WINDOW - PER_PAIR
    assert wait(limits, "ada", "a") == 0


def test_attempts_count_while_they_are_under_way() -> None:
    limits = Limits(Clock())
    with ExitStack() as under_way:
        for _ in range(PER_PAIR):
            under_way.enter_context(limits.attempt("ada", "a"))
        with pytest.raises(RateLimited):
            under_way.enter_context(limits.attempt("ada", "a"))
    assert wait(limits, "ada", "a") == 0


def test_failures_from_elsewhere_do_not_keep_the_owner_out() -> None:
    limits = Limits(Clock())
    for _ in range(50):
        with suppress(RateLimited):
            fail(limits, "ada", "attacker")
    assert wait(limits, "ada", "attacker") > 0
    assert wait(limits, "ada", "home") == 0


def test_one_address_cannot_try_many_names() -> None:
    limits = Limits(Clock())
    for number in range(50):
        fail(limits, f"user{number}", "a")
    assert wait(limits, "another", "a") > 0


def test_many_people_may_sign_in_from_one_address() -> None:
    limits = Limits(Clock())
    for number in range(200):
        succeed(limits, f"user{number}", "a")
    assert wait(limits, "another", "a") == 0


def test_success_forgets_the_failures_of_that_pair() -> None:
    limits = Limits(Clock())
    for _ in range(PER_PAIR - 1):
        fail(limits, "ada", "a")
    succeed(limits, "ada", "a")
    for _ in range(PER_PAIR - 1):
        assert wait(limits, "ada", "a") == 0
        fail(limits, "ada", "a")


def test_what_was_not_heard_does_not_count() -> None:
    limits = Limits(Clock())
    for _ in range(3 * PER_PAIR):
        with suppress(Unavailable), limits.attempt("ada", "a"):
            raise Unavailable("the database is away")
    assert wait(limits, "ada", "a") == 0


def test_addresses_of_one_ipv6_network_are_one() -> None:
    limits = Limits(Clock())
    for number in range(PER_PAIR):
        fail(limits, "ada", f"2001:db8:1:2::{number:x}")
    assert wait(limits, "ada", "2001:db8:1:2:ffff::1") > 0
    assert wait(limits, "ada", "2001:db8:1:3::1") == 0


def test_names_chosen_by_an_attacker_do_not_fill_the_memory() -> None:
    limits = Limits(Clock())
    for number in range(20_000):
        fail(limits, f"user{number}", str(number))
    assert len(limits._attempts) <= 10_000


def test_only_a_few_passwords_are_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    most, now = 0, 0
    lock = threading.Lock()

    class Counting:
        def verify(self, *_: str) -> bool:
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            four.wait()
            with lock:
                now -= 1
            return True

    four = threading.Barrier(4, timeout=30)
    monkeypatch.setattr(secrets, "_HASHER", Counting())
    with ThreadPoolExecutor(40) as pool:
        assert all(pool.map(lambda _: secrets.password_fits("stored", "password"), range(12)))
    assert most == 4
