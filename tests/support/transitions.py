"""Executions in the status that a test of transitions begins with."""

from __future__ import annotations

from typing import Any

from engine.core import transitions
from engine.core.status import StepStatus
from engine.core.transitions import RunKey
from engine.flow.transaction import commit
from tests.support.house import House, python


def inc(x: int) -> int:
    return x + 1


def boom() -> None:
    raise ValueError("boom")


def chain(house: House, length: int = 2) -> str:
    """Publish a chain of ``length`` steps and return its id."""
    steps: dict[str, Any] = {"s0": python(inc, x=0)}
    for index in range(1, length):
        steps[f"s{index}"] = python(inc, x=f"${{{{ steps.s{index - 1}.output }}}}")
    return house.publish("chain", steps)


def claimed(house: House, worker: str = "w1") -> tuple[str, RunKey]:
    """Return an execution of two steps whose first is claimed by ``worker``."""
    execution_id = house.start(chain(house))
    house.plan(execution_id)
    house.inbox.clear()
    key = RunKey(execution_id, 0)
    claim(house, key, worker)
    return execution_id, key


def claim(house: House, key: RunKey, worker: str) -> None:
    """Claim a queued step run in the name of ``worker``."""
    commit(
        house.database,
        key.execution_id,
        lambda taken: taken.apply(
            key,
            1,
            transitions.claim(
                StepStatus.QUEUED,
                worker_id=worker,
                now=taken.now,
                deadline=taken.now + 60_000_000,
                input="{}",
            ),
        ),
    )


def apply(house: House, key: RunKey, epoch: int, move: transitions.Transition) -> None:
    commit(house.database, key.execution_id, lambda taken: taken.apply(key, epoch, move))


def flaky(house: House) -> str:
    retry = {"attempts": 3, "backoff": "20s", "jitter": False}
    return house.publish("flaky", {"a": {**python(boom), "retry": retry}})


def fan(house: House, **more: Any) -> str:
    return house.publish(
        "fan",
        {
            "each": {
                **python(inc, x="${{ item }}"),
                "for_each": "${{ input.xs }}",
                **more,
            },
            "all": {"uses": "transform", "with": {"value": "${{ steps.each.output }}"}},
        },
    )
