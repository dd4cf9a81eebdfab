"""Work of an unusual shape: very long, very wide, very large, very deep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.errors import EngineError
from tests.scorecard import workload
from tests.scorecard.drill import Drill, Wanted
from tests.scorecard.registry import row
from tests.scorecard.workload import Given, call

MANY = 10_000
BIG, HUGE = 1_000_000, 50_000_000  # bytes
DEPTH = 10_000
NESTING = 20  # executions deep at most


def beside(drill: Drill, given: Given, *, seconds: float, wanted: Wanted | None = None) -> str:
    """Run one execution of that shape beside a mixture, which it must not harm."""
    drill.workers(2)
    drill.mixture()
    drill.strike()
    execution_id = drill.begin(given, wanted=wanted)
    assert execution_id is not None
    drill.mixture()
    drill.heal()
    drill.settle(work=seconds)
    return execution_id


def _many(drill: Drill) -> int:
    """Return how many steps: all of them with real leases, a tenth where a tenth is asked for."""
    return int(MANY * min(1.0, drill.scale))


@row("shape", "10k-step chain")
def long_chain(drill: Drill) -> None:
    """Each step needs the one before."""
    count = _many(drill)
    beside(drill, workload.chain(count, "quiet"), seconds=count * 0.05)


@row("shape", "fan-out 10k + join")
def wide_fan_out(drill: Drill) -> None:
    """One step for each of so many items, and one that adds them up."""
    count = _many(drill)
    beside(drill, workload.fan_out(count, "quiet"), seconds=count * 0.05)


def payload(size: int) -> Given:
    """Return a step that gives so many bytes, and one that takes them."""
    steps = {
        "make": call("large", n=0, size=size),
        "weigh": call("weigh", bulk="${{ steps.make.output.bulk }}"),
    }
    output = "${{ steps.weigh.output.n }}"
    return Given(
        f"payload-{size}", {"name": f"payload-{size}", "steps": steps, "output": output}, size
    )


@row("shape", "1 MB payload")
def payload_1_mb(drill: Drill) -> None:
    """Over the inline limit: it goes to the payload store and comes back from it."""
    beside(drill, payload(BIG), seconds=20)


@row("shape", "50 MB payload")
def payload_50_mb(drill: Drill) -> None:
    """The same, fifty times as large."""
    beside(drill, payload(HUGE), seconds=60)


@row("shape", "JSON nested 10k deep")
def nested(drill: Drill) -> None:
    """From a step it fails the attempt; from a caller it is refused; nobody else notices."""
    steps = {"one": call("nested", depth=DEPTH)}
    given = Given("nested", {"name": "nested", "steps": steps}, None)
    beside(drill, given, seconds=20, wanted=Wanted(("failed",)))
    deep: Any = []
    for _ in range(DEPTH):
        deep = [deep]
    plain = drill.publish(workload.chain(1))
    attempts: dict[str, Callable[[], Any]] = {
        "an input": lambda: drill.fleet.begin(plain, {"deep": deep}),
        "a document": lambda: drill.fleet.publish("deep", {"a": call("work", n=deep)}),
    }
    for what, attempt in attempts.items():
        try:
            attempt()
        except EngineError:
            continue
        except RecursionError as error:
            drill.broken.append(f"{what} nested {DEPTH} deep ended in {error!r}")
            continue
        drill.broken.append(f"{what} nested {DEPTH} deep was taken")
    drill.heal()
    drill.settle()


@row("shape", "a workflow that calls itself")
def calls_itself(drill: Drill) -> None:
    """It is stopped at the deepest nesting that is allowed, and so are all above it."""
    steps = {"again": {"uses": "workflow", "with": {"workflow": "forever"}}}
    given = Given("forever", {"name": "forever", "steps": steps}, None)
    beside(drill, given, seconds=30, wanted=Wanted(("failed",)))
    sql = "SELECT status, count(*) FROM executions WHERE workflow_id = :id GROUP BY status"
    ends = drill.fleet.query(sql, id=drill.publish(given))
    if [status for status, _ in ends] != ["failed"] or ends[0][1] > NESTING + 1:
        drill.broken.append(f"the executions that called one another are {ends}")
