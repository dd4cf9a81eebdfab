"""A workflow that asks once a minute, rests, and fails by itself when the answer is no good."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from engine import fail, sleep, step, workflow


@step(cache_ttl="1m", expires="10m")
def rate(currency: str) -> float:
    """Return what one costs: asked for again within a minute, the last answer is taken.

    Not begun within ten minutes, it fails: an old rate is worth nothing.
    """
    found = round(random.uniform(0.9, 1.1), 4)
    print(f"asked the bank: 1 EUR is {found} {currency}")
    return found


@step
def price(amount: int, rate: float) -> float:
    """Return the amount in the other currency."""
    return round(amount * rate, 2)


@workflow(title="Quote with a kept rate")
def quote(
    amount: Annotated[int, Field(title="Amount in EUR", ge=1, le=1_000_000)] = 100,
    currency: Annotated[str, Field(title="Currency", pattern=r"^[A-Z]{3}$")] = "USD",
    most: Annotated[int, Field(title="Most it may cost", ge=1, le=2_000_000)] = 1_000,
) -> float:
    """Ask for the rate, give the bank two seconds, and refuse what costs too much."""
    asked = rate(currency)
    rested = sleep("2s", name="rest", after=asked)
    asked_for = price(amount, asked, after=rested)
    fail(f"{asked_for} is more than {most}", name="refuse", when=asked_for > most)
    return asked_for
