"""Try again what fails for a moment: one way for transactions, commits and the payload store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from tenacity.stop import stop_base

T = TypeVar("T")


def insist(
    once: Callable[[], T],
    *,
    when: Callable[[BaseException], bool],
    stop: stop_base,
    first: float,
    most: float,
    told: Callable[[BaseException], None] = lambda _error: None,
) -> T:
    """Return what ``once`` returns, called again as long as it fails for a reason that passes.

    Args:
        once: what is to be done.
        when: whether an error passes; another one is raised.
        stop: when to give up: the last error is raised then.
        first: seconds that the first pause may take; each is drawn, so that many who failed
            together do not come back together, and each may take twice as long as the one before.
        most: seconds that a pause may take.
        told: hears of each error before the pause.
    """
    try:
        return once()  # nearly always; the library would cost as much as a short transaction
    except Exception as error:
        if not when(error):
            raise
        failed = [error]

    def next_try() -> T:
        if failed:
            raise failed.pop()  # the try above counts as the first
        return once()

    def tell(state: RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert error is not None
        told(error)

    retrying = Retrying(
        retry=retry_if_exception(when),
        stop=stop,
        wait=wait_random_exponential(multiplier=first, max=most),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(next_try)
