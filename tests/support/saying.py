"""What people and other programs say to executions in the house of a test."""

from __future__ import annotations

import threading
from typing import Any

from engine.codec import decode
from engine.commands import lifecycle, signals
from engine.commands.signals import Decision
from engine.flow.outgoing import Sends
from engine.store.writes.signals import Received
from tests.support.house import House

HOUR = 3_600_000_000  # µs


def transform(value: Any, **more: Any) -> dict[str, Any]:
    """Return a step whose output is ``value``, and which may be anything else besides."""
    return {"uses": "transform", "with": {"value": value}, **more}


def waits(name: str = "paid", **params: Any) -> dict[str, Any]:
    """Return a step that waits for a signal."""
    return {"uses": "signal", "with": {"name": name, **params}}


def child(workflow: str, **params: Any) -> dict[str, Any]:
    """Return a step that starts an execution of ``workflow``."""
    return {"uses": "workflow", "with": {"workflow": workflow, **params}}


def post(house: House, sends: Sends) -> None:
    """Put what a verb leaves to send where messages wait to be delivered."""
    house.inbox += sends.now
    house.dispatches += sends.dispatches


def signal(house: House, name: str = "paid", body: Any = None, **more: Any) -> Received:
    """Send a signal; the message that brings it waits to be delivered."""
    received = signals.signal(house.database, owner_id=house.owner_id, name=name, body=body, **more)
    if received.execution_id is not None:
        house.dispatches.append(received.execution_id)
    return received


def decide(
    house: House,
    execution_id: str,
    step: str,
    *,
    approved: bool = True,
    by: str = "ada",
    comment: str = "",
    **values: Any,
) -> None:
    """Approve or reject."""
    _look, sends = signals.decide(
        house.database,
        house.versions,
        user_id=house.owner_id,
        execution_id=execution_id,
        step=step,
        decision=Decision(approved, by, comment, values),
        grace_seconds=0,
    )
    post(house, sends)


def pause(house: House, execution_id: str) -> None:
    """Pause an execution."""
    lifecycle.pause(house.database, owner_id=house.owner_id, execution_id=execution_id)


def resume(house: House, execution_id: str) -> None:
    """Let a paused execution go on; its messages wait to be delivered."""
    _look, sends = lifecycle.resume(
        house.database, owner_id=house.owner_id, execution_id=execution_id
    )
    post(house, sends)


def sweep(house: House) -> None:
    """Let rescue look once and deliver what it sends."""
    house.sweep()
    house.drain()


def statuses(house: House, execution_id: str) -> dict[Any, str]:
    """Return the status of each step run by the step's index, or by (step, item)."""
    rows = house.query(
        "SELECT step, item, status FROM step_runs WHERE execution_id = :id ORDER BY step, item",
        id=execution_id,
    )
    return {step if item < 0 else (step, item): status for step, item, status in rows}


def error(house: House, execution_id: str) -> str:
    """Return the message of an execution's error."""
    return str(decode(house.execution(execution_id, "error")[0])["message"])


def waiting(house: House, **params: Any) -> str:
    """Return an execution that waits for a signal, and gives its body."""
    steps = {"a": waits(**params), "b": transform("${{ steps.a.output }}")}
    return house.run(house.publish("waiting", steps))


def together(*works: Any) -> None:
    """Run these at once and fail with the first error of any."""
    failures: list[BaseException] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
