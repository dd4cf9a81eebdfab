"""Whether and when a failed attempt is followed by another."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.retry import GiveUp, Retry, decide
from engine.definition import RetryPolicy


def _decide(policy: RetryPolicy, **changes: Any) -> Retry | GiveUp:
    given: dict[str, Any] = {
        "attempts": 1,
        "reason": "error",
        "error_type": "ValueError",
        "retryable": True,
        "seed": "run",
    }
    return decide(policy, **(given | changes))


def test_attempts_end_at_the_policys_limit() -> None:
    policy = RetryPolicy(attempts=3)
    assert isinstance(_decide(policy, attempts=2), Retry)
    assert _decide(policy, attempts=3) == GiveUp()
    assert _decide(policy, attempts=4) == GiveUp()


def test_a_failure_that_cannot_end_differently_is_not_tried_again() -> None:
    assert _decide(RetryPolicy(attempts=9), retryable=False) == GiveUp()


@pytest.mark.parametrize(
    ("on", "reason", "error_type", "again"),
    [
        ({"error"}, "error", "ValueError", True),
        ({"error"}, "timeout", "TimedOut", False),
        ({"timeout"}, "timeout", "TimedOut", True),
        ({"timeout"}, "error", "ValueError", False),
        ({"ConnectionError"}, "error", "builtins.ConnectionError", True),
        ({"ConnectionError"}, "error", "ConnectionError", True),
        ({"ConnectionError"}, "error", "ValueError", False),
    ],
)
def test_only_the_named_kinds_are_tried_again(
    on: set[str], reason: str, error_type: str, again: bool
) -> None:
    policy = RetryPolicy(attempts=5, on=frozenset(on))
    assert isinstance(_decide(policy, reason=reason, error_type=error_type), Retry) is again


def test_the_delay_grows_by_the_factor_up_to_the_cap() -> None:
    policy = RetryPolicy(attempts=99, backoff=1, factor=2, max=10, jitter=False)
    delays = [_decide(policy, attempts=number) for number in range(1, 7)]
    assert delays == [Retry(second * 1_000_000) for second in (1, 2, 4, 8, 10, 10)]


def test_a_huge_count_of_attempts_keeps_the_cap() -> None:
    policy = RetryPolicy(attempts=10**7, backoff=1, factor=10, max=60, jitter=False)
    assert _decide(policy, attempts=10**6) == Retry(60_000_000)
    still = RetryPolicy(attempts=10**7, backoff=0, factor=10, max=60, jitter=False)
    assert _decide(still, attempts=10**6) == Retry(0)


def test_jitter_is_the_same_for_the_same_seed_and_spread_over_others() -> None:
    policy = RetryPolicy(attempts=9, backoff=2, max=60, jitter=True)
    drawn = [_decide(policy, seed=f"run-{number}") for number in range(500)]
    assert drawn == [_decide(policy, seed=f"run-{number}") for number in range(500)]
    delays = [one.delay_us for one in drawn if isinstance(one, Retry)]
    assert all(1_000_000 <= delay < 2_000_000 for delay in delays)
    assert len(set(delays)) > 490
    assert 1_450_000 < sum(delays) / len(delays) < 1_550_000
