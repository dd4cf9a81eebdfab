"""What the engine is given to do meanwhile: documents whose results are known before they run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

MODULE = "tests.scorecard.steps"


@dataclass(frozen=True)
class Given:
    """A workflow to publish and the output that each of its executions must have."""

    name: str
    document: dict[str, Any]
    output: Any


def call(function: str, *, options: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """Return a step that calls a function of the scorecard's steps."""
    return {
        "uses": "python",
        "with": {"function": f"{MODULE}.{function}", **params},
        **(options or {}),
    }


def number(step: str) -> str:
    """Return the expression for the number that a step gave."""
    return f"${{{{ steps.{step}.output.n }}}}"


def chain(length: int, function: str = "work", **params: Any) -> Given:
    """Return steps one after the other, each fed by the one before."""
    steps = {"s0": call(function, n=0, **params)}
    for index in range(1, length):
        steps[f"s{index}"] = call(function, n=number(f"s{index - 1}"), **params)
    return _given(f"chain-{function}-{length}{_named(params)}", steps, f"s{length - 1}", length)


def fan_out(items: int, function: str = "work", **params: Any) -> Given:
    """Return a step for each of so many items, and one that adds them up."""
    each = {"for_each": list(range(items))}
    steps = {
        "each": call(function, n="${{ item }}", options=each, **params),
        "sum": call("total", numbers="${{ steps.each.output }}"),
    }
    name = f"fan-out-{function}-{items}{_named(params)}"
    return _given(name, steps, "sum", items * (items + 1) // 2)


def retrying(attempts: int, backoff: str) -> Given:
    """Return a step that fails until its last attempt, and one after it."""
    retry = {"retry": {"attempts": attempts, "backoff": backoff, "jitter": False, "factor": 1}}
    steps = {
        "flaky": call("flaky", attempt=attempts, options=retry),
        "after": call("work", n=number("flaky")),
    }
    return _given(f"retrying-{attempts}", steps, "after", attempts + 1)


def sleeping(duration: str) -> Given:
    """Return a step, a sleep, and a step."""
    steps = {
        "before": call("work", n=0),
        "nap": {"uses": "sleep", "with": {"for": duration}, "needs": ["before"]},
        "after": call("work", n=number("before"), options={"needs": ["nap"]}),
    }
    return _given("sleeping", steps, "after", 2)


def long(seconds: float, **options: Any) -> Given:
    """Return a step that takes long when it is first called, and one after it.

    It has the queue of long steps, so that none waits in the hands of a worker that is busy while
    another has nothing to do.
    """
    step = call("long", n=0, seconds=seconds, options={"queue": "long", **options})
    return _given("long", {"long": step, "after": call("work", n=number("long"))}, "after", 2)


def alone(name: str, function: str, **params: Any) -> Given:
    """Return one step of its own kind, and one after it."""
    options = params.pop("options", None)
    steps = {
        "one": call(function, options=options, **params),
        "after": call("work", n=number("one")),
    }
    return _given(name, steps, "after", 2)


def mixture(chance: random.Random) -> list[Given]:
    """Return chains, a fan-out with its join, retries and a sleep, sized by the seed."""
    pause = round(chance.uniform(0.05, 0.25), 2)
    found = [
        chain(chance.randint(4, 8), seconds=pause),
        chain(chance.randint(2, 4)),
        fan_out(chance.randint(8, 24), seconds=round(pause / 2, 2)),
        retrying(chance.randint(2, 3), "500ms"),
        sleeping(f"{chance.randint(1, 2)}s"),
    ]
    chance.shuffle(found)
    return found


def _named(params: dict[str, Any]) -> str:
    """Return a name's end for the parameters: another document must not be another's version."""
    return "".join(f"-{key}-{round(value * 1000)}" for key, value in params.items())


def _given(name: str, steps: dict[str, Any], last: str, output: Any) -> Given:
    document = {"name": name, "steps": steps, "output": number(last)}
    return Given(name, document, output)
