"""Many step runs at once, and one that waits for all of them."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from engine import step, workflow


@step
def list_numbers(count: int) -> list[int]:
    """Return the numbers from 1 to ``count``: each becomes an item."""
    return list(range(1, count + 1))


@step(attempts=3, timeout="30s")
def square(number: int, seconds: float) -> int:
    """Return ``number`` squared, after ``seconds`` of work."""
    time.sleep(seconds)
    print(f"{number} × {number} = {number * number}")
    return number * number


@step
def add_up(squares: list[int]) -> dict[str, int]:
    """Return how many there were and their sum."""
    return {"items": len(squares), "sum": sum(squares)}


@workflow(title="Fan-out and join")
def fan_out(
    items: Annotated[int, Field(ge=1, le=10_000, title="Items")] = 200,
    seconds: Annotated[
        float, Field(ge=0, le=10, title="Seconds of work per item", description="0 is allowed.")
    ] = 0.05,
) -> dict[str, int]:
    """Square each of 200 numbers in a step run of its own, then add the squares up."""
    return add_up(square.map(list_numbers(items), seconds, max_parallel=50))
