"""What is measured: steps that do nothing, so that only the engine's own work is seen."""

from __future__ import annotations

import time

from engine import step, workflow


@step
def add_one(x: int) -> int:
    """Return x + 1: the last of ten proves that all ten ran, in order."""
    return x + 1


@step
def number_list(count: int) -> list[int]:
    """Return 0 … count - 1."""
    return list(range(count))


@step
def add_up(numbers: list[int]) -> int:
    """Return the sum: proves that every item ran once."""
    return sum(numbers)


@step
def work(seconds: float) -> None:
    """Take as long as a recorded task did."""
    if seconds > 0:
        time.sleep(seconds)


@workflow(name="bench-ten")
def bench_ten(start: int = 0) -> int:
    """Ten steps in a row."""
    value: int = add_one(start, name="s0")
    for index in range(1, 10):
        value = add_one(value, name=f"s{index}")
    return value


@workflow(name="bench-fan")
def bench_fan(count: int = 50) -> int:
    """A step, as many in parallel as asked for, a join."""
    total: int = add_up(add_one.map(number_list(count), name="each"))
    return total
