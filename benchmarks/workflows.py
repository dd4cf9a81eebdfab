"""What is measured: steps that do nothing, so that only the engine's own work is seen."""

from __future__ import annotations

import time

from engine import sleep, step, wait_for_signal, workflow


@step
def add_one(x: int) -> int:
    """Return x + 1: the last of ten proves that all ten ran, in order."""
    return x + 1


@step
def say(x: int) -> int:
    """Return x + 1 and leave two lines in the log."""
    print(f"looked at {x}")
    print(f"and found {x + 1}")
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


@step
def wait_for_io(seconds: float) -> int:
    """Hold a thread, but no processor, for ``seconds``, and return 1."""
    time.sleep(seconds)
    return 1


@step
def wait_a_little(_number: int, seconds: float) -> None:
    """Take ``seconds``, whichever item it is."""
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


@workflow(name="bench-one")
def bench_one() -> int:
    """One short step."""
    value: int = add_one(0)
    return value


@workflow(name="bench-sleep")
def bench_sleep() -> int:
    """Parked for an hour before its only step."""
    value: int = add_one.using(after=[sleep("1h")])(0)
    return value


@workflow(name="bench-signal")
def bench_signal(number: int) -> int:
    """Parked until the signal for its number comes, whose body is its output."""
    value: int = wait_for_signal("bench", correlation=number)
    return value


@workflow(name="bench-io")
def bench_io(seconds: float = 1) -> int:
    """A step that waits for something else than the processor."""
    value: int = wait_for_io(seconds)
    return value


@workflow(name="bench-long")
def bench_long(seconds: float = 60) -> int:
    """A step of a minute, on the queue for such steps."""
    value: int = wait_for_io.using(queue="long")(seconds)
    return value


@workflow(name="bench-long-among-short")
def bench_long_among_short(seconds: float = 60) -> int:
    """A step of a minute that nobody has marked as long."""
    value: int = wait_for_io.using(queue="default")(seconds)
    return value


@workflow(name="bench-busy")
def bench_busy(count: int = 100, seconds: float = 0.1) -> None:
    """One short step after the other: each a change that open pages show."""
    wait_a_little.map(number_list(count), seconds=seconds, max_parallel=1, name="each")
