"""Failed sign-ins are counted, forgotten in time, and never keep the owner out from elsewhere."""

from __future__ import annotations

from engine_app.auth.limits import WINDOW, Limits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_eleventh_try_waits_until_the_oldest_failure_is_forgotten() -> None:
    clock = Clock()
    limits = Limits(clock)
    for _ in range(10):
        assert limits.wait("ada", "a") == 0
        limits.failed("ada", "a")
        clock.now += 1
    assert limits.wait("ada", "a") == WINDOW - 10
    clock.now += WINDOW - 10
    assert limits.wait("ada", "a") == 0


def test_failures_from_elsewhere_do_not_keep_the_owner_out() -> None:
    limits = Limits(Clock())
    for _ in range(50):
        limits.failed("ada", "attacker")
    assert limits.wait("ada", "attacker") > 0
    assert limits.wait("ada", "home") == 0


def test_one_address_cannot_try_many_names() -> None:
    limits = Limits(Clock())
    for number in range(50):
        limits.failed(f"user{number}", "a")
    assert limits.wait("another", "a") > 0


def test_success_forgets_the_failures_of_that_pair() -> None:
    limits = Limits(Clock())
    for _ in range(10):
        limits.failed("ada", "a")
    limits.succeeded("ada", "a")
    assert limits.wait("ada", "a") == 0


def test_names_chosen_by_an_attacker_do_not_fill_the_memory() -> None:
    limits = Limits(Clock())
    for number in range(20_000):
        limits.failed(f"user{number}", str(number))
    assert len(limits._failures) <= 10_000
