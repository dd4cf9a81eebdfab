"""Running ended executions again: what is taken over, what is repeated, and what is told before."""

from __future__ import annotations

from typing import Any

import pytest

from engine.commands.rerun import RerunRequest, preview
from engine.errors import Conflict, InvalidInput, InvalidQuery
from engine.store.db.database import Database
from engine.store.writes import dead_letters
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import statuses, transform, waits

Calls = list[Any]


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


@pytest.fixture
def calls() -> Calls:
    """What steps were called with, in order."""
    return []


def again(house: House, execution_id: str, **wish: Any) -> str:
    """Run an ended execution again and return the new one."""
    new = house.retry(execution_id, **wish)
    house.plan(new)
    house.drain()
    return new


def note(calls: Calls, failing: set[Any], value: Any, **more: Any) -> dict[str, Any]:
    """Return a step that notes its value, and fails if that is among the failing."""

    def noted(x: Any) -> Any:
        calls.append(x)
        if x in failing:
            raise ValueError(f"{x} failed")
        return x

    return {**python(noted, x=value), **more}


def test_a_retry_after_a_failed_finally_step_runs_the_finally_steps_again(
    house: House, calls: Calls
) -> None:
    failing = {"tidy"}
    steps = {"a": note(calls, failing, "a"), "tidy": note(calls, failing, "tidy")}
    failed = house.run(house.publish("ends", steps, **{"finally": ["tidy"]}))
    assert house.status(failed) == "failed"
    failing.clear()
    new = again(house, failed)
    assert (house.status(new), calls) == ("completed", ["a", "tidy", "tidy"])
    assert house.output(new) == "a"
    check(house.database)


def test_what_was_undone_is_done_again(house: House, calls: Calls) -> None:
    failing = {"b"}
    steps = {
        "free": note(calls, failing, "free"),
        "a": note(calls, failing, "a", compensate="un-a"),
        "b": note(calls, failing, "b", needs=["a", "free"]),
        "un-a": note(calls, failing, "un-a"),
    }
    failed = house.run(house.publish("saga", steps))
    assert calls == ["free", "a", "b", "un-a"]
    told = preview(house.database, house.versions, owner_id=house.owner_id, execution_id=failed)
    assert (told.reused, told.repeated, told.fresh) == (["free"], ["a", "b"], [])
    failing.clear()
    new = again(house, failed)
    assert (house.status(new), calls[4:]) == ("completed", ["a", "b"])
    check(house.database)


def test_only_failed_items_run_again_over_two_generations(house: House, calls: Calls) -> None:
    failing = {2, 3}
    each = note(calls, failing, "${{ item }}", for_each=[1, 2, 3, 4], allow_failures=0)
    each["on_failure"] = "continue"
    steps = {"each": each, "b": {"uses": "fail", "with": {"message": "no"}, "needs": ["each"]}}
    first = house.run(house.publish("fan", steps))
    assert sorted(calls) == [1, 2, 3, 4]
    failing.discard(2)
    calls.clear()
    second = again(house, first)
    assert sorted(calls) == [2, 3]
    failing.clear()
    calls.clear()
    third = again(house, second)
    assert calls == [3]
    assert statuses(house, third)[0] == "completed"
    check(house.database)


def test_items_kept_of_a_generation_that_never_got_there_are_kept(
    house: House, calls: Calls
) -> None:
    failing = {2}
    steps = {"each": note(calls, failing, "${{ item }}", for_each=[1, 2], max_parallel=2)}
    first = house.run(house.publish("fan", steps))
    second = house.retry(first)
    house.plan(second)
    house.inbox.clear()
    house.cancel(second)
    calls.clear()
    failing.clear()
    third = again(house, second)
    assert (house.status(third), calls) == ("completed", [2])
    check(house.database)


def test_items_whose_value_is_another_now_run_again(house: House, calls: Calls) -> None:
    failing = {2}
    steps = {"each": note(calls, failing, "${{ item }}", for_each="${{ input.xs }}")}
    first = house.run(house.publish("fan", steps), {"xs": [1, 2, 3]})
    calls.clear()
    new = again(house, first, input={"xs": [1, 5]}, edited=True)
    assert (house.status(new), calls) == ("completed", [5])
    check(house.database)


def test_from_a_step_it_and_what_follows_run_again(house: House, calls: Calls) -> None:
    steps = {
        "a": note(calls, set(), "a"),
        "b": note(calls, set(), "b", needs=["a"]),
        "c": note(calls, set(), "c", needs=["b"]),
        "side": note(calls, set(), "side"),
    }
    done = house.run(house.publish("four", steps))
    calls.clear()
    wish = RerunRequest(from_step="b")
    told = preview(
        house.database, house.versions, owner_id=house.owner_id, execution_id=done, wish=wish
    )
    assert (told.reused, told.repeated, told.fresh) == (["a", "side"], ["b", "c"], [])
    new = again(house, done, from_step="b")
    assert (house.status(new), calls) == ("completed", ["b", "c"])
    assert house.execution(new, "origin_id", "rerun_from", "trigger") == (done, "b", "rerun")
    check(house.database)


def test_the_newest_version_takes_over_what_is_the_same_in_it(house: House, calls: Calls) -> None:
    old = {
        "gone": note(calls, set(), "gone"),
        "same": note(calls, set(), "same"),
        "other": note(calls, set(), "other"),
        "bad": {"uses": "fail", "with": {"message": "no"}, "needs": ["same", "other"]},
    }
    failed = house.run(house.publish("versions", old))
    calls.clear()
    new = {
        "added": note(calls, set(), "added"),
        "same": old["same"],
        "other": note(calls, set(), "changed"),
        "last": transform("${{ steps.same.output + steps.other.output }}"),
    }
    house.publish("versions", new)
    wish = RerunRequest(version="newest")
    told = preview(
        house.database, house.versions, owner_id=house.owner_id, execution_id=failed, wish=wish
    )
    assert (told.version, told.reused) == (2, ["same"])
    assert (told.repeated, told.fresh) == (["other"], ["added", "last"])
    run = again(house, failed, version="newest")
    assert sorted(calls) == ["added", "changed"]
    assert house.execution(run, "status", "version") == ("completed", 2)
    assert statuses(house, run) == {0: "completed", 1: "completed", 2: "completed", 3: "completed"}
    check(house.database)


def test_what_cannot_be_meant_is_refused(house: House, calls: Calls) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    steps = {"a": transform(1), "tidy": transform(2)}
    done = house.run(house.publish("refused", steps, input=schema, **{"finally": ["tidy"]}))
    with pytest.raises(InvalidQuery, match="no step 'b'"):
        house.retry(done, from_step="b")
    with pytest.raises(InvalidQuery, match="runs at the end only"):
        house.retry(done, from_step="tidy")
    with pytest.raises(InvalidInput):
        house.retry(done, from_step="a", input={"n": "one"}, edited=True)
    with pytest.raises(InvalidQuery, match="neither a number"):
        house.retry(done, version="oldest")
    waiting = house.run(house.publish("waiting", {"a": waits()}))
    with pytest.raises(Conflict, match="only an ended one"):
        house.retry(waiting, from_step="a")


def test_poison_is_replayed_as_a_new_execution(house: House) -> None:
    execution_id = house.start(house.publish("poison", {"a": transform(1)}))
    house.plan(execution_id)
    house.inbox.clear()
    house.write(
        "UPDATE step_runs SET status = 'running', worker_id = 'gone', attempts = 1, crashes = 2"
    )
    house.sweep()
    assert house.execution(execution_id, "status") == ("failed",)
    [(letter, reason)] = house.query("SELECT id, reason FROM dead_letters")
    assert reason == "worker_crashed"
    wanted = house.database.read(
        lambda connection: dead_letters.find(connection, house.owner_id, letter)
    )
    assert (wanted.execution_id, wanted.again) == (execution_id, True)
    new = again(house, wanted.execution_id)
    assert house.status(new) == "completed"
    assert house.step(new, 0, "crashes") == (0,)
