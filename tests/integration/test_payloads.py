"""Values too large for a row: kept in the store, seen by the steps that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.codec import decode
from engine.io.payloads import reference
from engine.store.db.database import Database
from engine.store.writes.payload_refs import taken_over
from tests.support.house import House, python

SIZE = 300_000  # characters: over the inline limit


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def big(letter: str = "a", size: int = SIZE) -> str:
    return letter * size


def measure(value: Any) -> int:
    return len(value)


def stored(text: str | None) -> bool:
    return reference(text) is not None


def output(step: str) -> str:
    return f"${{{{ steps.{step}.output }}}}"


def the_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "payloads").rglob("*") if path.is_file()]


def test_a_large_result_reaches_the_next_step_through_the_store(house: House) -> None:
    steps = {"load": python(big), "count": python(measure, value=output("load"))}
    run = house.run(house.publish("w", steps))
    assert house.status(run) == "completed"
    assert house.output(run) == SIZE
    [result] = house.step(run, 0, "output")
    [given] = house.step(run, 1, "input")
    assert stored(result)
    assert stored(given)
    assert decode(house.database.payloads.read(given, "it"))["value"] == big()


def test_a_worker_that_never_saw_the_result_reads_it_from_the_store(house: House) -> None:
    steps = {"load": python(big), "count": python(measure, value=output("load"))}
    run = house.start(house.publish("w", steps))
    [first] = house.plan(run)
    [second] = house.deliver(first).now
    house.deliver(second, house.worker("w2"))
    assert house.step(run, 1, "status", "output") == ("completed", str(SIZE))


def test_the_output_of_an_execution_goes_to_the_store(house: House) -> None:
    run = house.run(house.publish("w", {"load": python(big)}))
    [kept] = house.execution(run, "output")
    assert stored(kept)
    assert decode(house.database.payloads.read(kept, "it")) == big()


def test_large_items_are_kept_by_value_and_by_result(house: House) -> None:
    steps = {
        "make": {"uses": "transform", "with": {"value": ["${{ input.a }}", 1]}},
        "each": {
            **python(echo, value="${{ item }}", more="${{ input.a }}"),
            "for_each": output("make"),
        },
        "join": python(lengths, values=output("each")),
    }
    run = house.run(house.publish("w", steps), {"a": big()})
    assert house.output(run) == [2 * SIZE, SIZE + 1]
    values = [house.step(run, 1, "value", item=item)[0] for item in (0, 1)]
    assert [stored(value) for value in values] == [True, False]
    assert stored(house.step(run, 1, "output", item=0)[0])


def echo(value: Any, more: str) -> str:
    return str(value) + more


def lengths(values: list[str]) -> list[int]:
    return [len(value) for value in values]


def test_a_result_over_the_limit_fails_at_once_and_is_not_tried_again(house: House) -> None:
    load = {**python(big, size=5_000_000), "retry": {"attempts": 5}}
    run = house.run(house.publish("w", {"load": load}))
    status, reason, attempts, error = house.step(run, 0, "status", "reason", "attempts", "error")
    assert (status, reason, attempts) == ("failed", "too_large", 1)
    message = decode(error)["message"]
    assert "steps.load" in message
    assert "5,000,002" in message
    assert "4,194,304" in message


def test_parameters_over_the_limit_fail_the_attempt_that_they_were_for(house: House) -> None:
    twice = python(measure, value=[output("load"), output("load")])
    run = house.run(house.publish("w", {"load": python(big, size=2_500_000), "twice": twice}))
    status, reason, error = house.step(run, 1, "status", "reason", "error")
    assert (status, reason) == ("failed", "too_large")
    assert "steps.twice: its parameters" in decode(error)["message"]


def test_a_lost_object_fails_the_step_that_needs_it_with_step_and_store(
    house: House, tmp_path: Path
) -> None:
    steps = {"load": python(big), "count": python(measure, value=output("load"))}
    run = house.start(house.publish("w", steps))
    [first] = house.plan(run)
    house.deliver(first)
    for path in the_files(tmp_path):
        path.write_bytes(b"rotten")
    house.drain()
    house.deliver(house.ticket(run, 1))
    status, reason, error = house.step(run, 1, "status", "reason", "error")
    assert (status, reason) == ("failed", "payload_lost")
    message = decode(error)["message"]
    assert "steps.load" in message
    assert str(tmp_path / "payloads") in message
    assert house.status(run) == "failed"


def test_a_lost_output_fails_the_execution_with_its_reason(house: House, tmp_path: Path) -> None:
    last = {"uses": "transform", "needs": ["load"], "with": {"value": 1}}
    steps = {"load": python(big), "last": last}
    document = {"output": output("load")}
    run = house.start(house.publish("w", steps, **document))
    [first] = house.plan(run)
    [second] = house.deliver(first).now
    for path in the_files(tmp_path):
        path.unlink()
    house.deliver(second, house.worker("w2"))
    assert house.execution(run, "status", "reason") == ("failed", "payload_lost")


def test_a_store_that_is_away_fails_the_attempt_and_the_policy_tries_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.store_result.KEEP_SECONDS", 0.0)
    load = {**python(big), "retry": {"attempts": 2, "backoff": "1s"}}
    run = house.start(house.publish("w", {"load": load}))
    [first] = house.plan(run)
    (tmp_path / "payloads").write_text("in the way")
    sends = house.deliver(first)
    assert house.step(run, 0, "status", "reason") == ("retrying", "error")
    [(again, _delay)] = sends.later
    (tmp_path / "payloads").unlink()
    house.write("UPDATE step_runs SET due_at = 0")
    house.deliver(again)
    assert house.status(run) == "completed"


def test_a_store_that_is_away_does_not_fail_the_step_that_wants_to_read(
    house: House, tmp_path: Path
) -> None:
    steps = {"load": python(big), "count": python(measure, value=output("load"))}
    run = house.start(house.publish("w", steps))
    [first] = house.plan(run)
    [second] = house.deliver(first).now
    (tmp_path / "payloads").rename(tmp_path / "away")
    (tmp_path / "payloads").write_text("in the way")
    with pytest.raises(Exception, match="cannot read"):
        house.deliver(second)
    assert house.step(run, 1, "status") == ("queued",)
    (tmp_path / "payloads").unlink()
    (tmp_path / "away").rename(tmp_path / "payloads")
    house.deliver(second)
    assert house.status(run) == "completed"


def test_a_retry_of_the_execution_reads_what_the_origin_kept(house: House) -> None:
    calls: list[int] = []

    def once(value: str) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not yet")
        return len(value)

    steps = {"load": python(big), "count": python(once, value=output("load"))}
    run = house.run(house.publish("w", steps))
    assert house.status(run) == "failed"
    again = house.retry(run)
    house.plan(again)
    house.drain()
    assert house.output(again) == SIZE


def test_only_what_no_execution_needs_any_more_may_be_removed(house: House) -> None:
    calls: list[int] = []

    def unsteady(value: str) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not yet")
        return len(value)

    steps = {"load": python(big), "count": python(unsteady, value=output("load"))}
    origin = house.run(house.publish("w", steps))
    other = house.run(house.publish("other", {"load": python(big)}))
    again = house.retry(origin)
    house.plan(again)
    house.drain()
    payloads = house.database.payloads
    assert payloads.executions() == sorted([origin, other, again])
    for gone in (origin, other):
        house.write("DELETE FROM step_runs WHERE execution_id = :id", id=gone)
        house.write("DELETE FROM executions WHERE id = :id", id=gone)
    assert house.database.read(taken_over) == {origin}
    payloads.remove(other)
    assert payloads.executions() == sorted([origin, again])
    [kept] = house.step(again, 0, "output")
    assert decode(payloads.read(kept, "it")) == big()


def test_large_items_that_completed_are_known_again_by_their_content(house: House) -> None:
    seen: list[str] = []

    def picky(value: str) -> int:
        seen.append(value[0])
        if value[0] == "b" and seen.count("b") == 1:
            raise ValueError("not yet")
        return len(value)

    each = {**python(picky, value="${{ item }}"), "for_each": ["${{ input.a }}", "${{ input.b }}"]}
    each["max_parallel"] = 1
    run = house.run(house.publish("w", {"each": each}), {"a": big("a"), "b": big("b")})
    assert house.status(run) == "failed"
    again = house.retry(run)
    house.plan(again)
    house.drain()
    assert house.status(again) == "completed"
    assert seen == ["a", "b", "b"]


def test_a_large_cached_result_is_copied_and_missed_when_it_is_gone(house: House) -> None:
    load = {**python(big), "cache": {"key": "same", "ttl": "1h"}}
    workflow = house.publish("w", {"load": load})
    runs = [house.run(workflow) for _ in range(2)]
    keys = [reference(house.step(run, 0, "output")[0]) for run in runs]
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0].key != keys[1].key
    assert house.step(runs[1], 0, "reason") == ("cached",)
    house.database.payloads.remove(runs[0])
    third = house.run(workflow)
    assert house.step(third, 0, "status", "reason") == ("completed", None)


def test_a_parent_gets_the_large_output_of_its_child_as_its_own(house: House) -> None:
    house.publish("child", {"load": python(big)})
    steps = {
        "call": {"uses": "workflow", "with": {"workflow": "child"}},
        "count": python(measure, value=output("call")),
    }
    run = house.run(house.publish("parent", steps))
    assert house.output(run) == SIZE
    found = reference(house.step(run, 0, "output")[0])
    assert found is not None
    assert found.key.startswith(run)


def test_a_parent_gets_the_list_of_a_child_that_ends_with_a_fan_out(house: House) -> None:
    each = {**python(measure, value="${{ item }}"), "for_each": ["a", "bb"]}
    house.publish("child", {"each": each})
    steps = {
        "call": {"uses": "workflow", "with": {"workflow": "child"}},
        "told": {"uses": "transform", "with": {"value": output("call")}},
    }
    run = house.run(house.publish("parent", steps))
    assert house.output(run) == [1, 2]
