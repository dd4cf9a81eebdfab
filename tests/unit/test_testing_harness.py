"""``engine.testing``: what people who write workflows can do in their tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import pytest

from engine import context, sleep, step, workflow
from engine.errors import InvalidInput, NotFound, UnknownStep
from engine.steps import TimedOut
from engine.testing import Harness, RunFailed

charged: list[str] = []


@step(name="testing-charge", attempts=3, backoff="1m")
def charge(order: str) -> int:
    context.log.info("charging %s", order)
    item = context.idempotency_key.rpartition(".")[2]
    charged.append(f"{order} {context.attempt} {item}")
    return len(order)


@step(name="testing-total")
def total(amounts: list[int]) -> int:
    return sum(amounts)


@workflow(name="testing-one")
def one(order: str = "book") -> Any:
    return charge(order)


@workflow(name="testing-many")
def many(orders: list[str]) -> Any:
    amounts = charge.map(orders)
    return total(amounts, after=sleep("30d", after=amounts))


@workflow(name="testing-parent")
def parent() -> Any:
    return total([one.as_step("child")])


@pytest.fixture
def harness() -> Iterator[Harness]:
    charged.clear()
    with Harness(now=datetime(2027, 1, 31, tzinfo=UTC)) as opened:
        yield opened


def waits(**approval: Any) -> dict[str, Any]:
    steps = {
        "paid": {"uses": "signal", "with": {"name": "paid", "deadline": "2d"}},
        "review": {
            "uses": "approval",
            "with": {"title": "Really?", **approval},
            "needs": ["paid"],
        },
    }
    return {"name": "waits", "steps": steps, "output": "${{ steps.paid.output.amount }}"}


# --- running -----------------------------------------------------------------------------------


def test_a_run_skips_what_it_sleeps_and_tells_what_came_of_each_step(harness: Harness) -> None:
    run = harness.run(many, orders=["a", "bb"])

    assert (run.status, run.output, run.error) == ("completed", 3, None)
    assert [item.output for item in run.items("testing-charge")] == [1, 2]
    assert run.step("testing-charge", 1).input["order"] == "bb"
    assert run.step("testing-total").input["amounts"] == [1, 2]
    assert [line.message for line in run.logs] == ["charging a", "charging bb"]
    assert [event.type for event in run.events][:2] == ["created", "started"]
    assert run.events[-1].type == "completed"
    assert harness.clock.now >= datetime(2027, 3, 2, tzinfo=UTC)


def test_documents_and_names_run_like_functions(harness: Harness) -> None:
    text = "name: text\nsteps: {a: {uses: transform, with: {value: '${{ input.x + 1 }}'}}}"
    assert harness.run(text, x=1).output == 2
    assert harness.run("text", {"x": 2}).output == 3
    assert harness.run("testing-one", order="four").output == 4
    with pytest.raises(NotFound, match="testing-on"):
        harness.run("testing-on")
    with pytest.raises(InvalidInput):
        harness.run(one, order=5)


def test_a_child_runs_as_its_parent_wants(harness: Harness) -> None:
    assert harness.run(parent).output == 5


def test_a_workflow_runs_by_itself_and_raises_when_it_fails() -> None:
    assert one.run(order="abc") == 3
    document = {"name": "bad", "steps": {"a": {"uses": "fail", "with": {"message": "no stock"}}}}
    with Harness() as harness, pytest.raises(RunFailed, match=r"bad is failed at step 'a'.*stock"):
        harness.run(document).result()


def test_code_that_is_not_there_is_said_at_once(harness: Harness) -> None:
    document = {"name": "far", "steps": {"a": {"uses": "python", "with": {"function": "no.where"}}}}
    with pytest.raises(UnknownStep, match=r"'a' calls no\.where"):
        harness.run(document)


def test_large_values_come_whole(harness: Harness) -> None:
    run = harness.run(one, order="x" * 400_000)
    assert run.output == 400_000
    assert run.step("testing-charge").input["order"] == "x" * 400_000


# --- what goes wrong ---------------------------------------------------------------------------


def test_an_attempt_fails_when_a_test_says_so_and_its_backoff_is_skipped(harness: Harness) -> None:
    before = harness.clock.now
    harness.fail("testing-charge", attempt=1, error=TimedOut(30))

    run = harness.run(one)

    assert (run.output, run.step("testing-charge").attempts) == (4, 2)
    assert [tried.reason for tried in run.step("testing-charge").tries] == ["timeout"]
    assert charged == ["book 2 -1"]
    assert timedelta(seconds=30) <= harness.clock.now - before < timedelta(minutes=2)


def test_one_item_fails_for_good_and_the_error_names_it(harness: Harness) -> None:
    harness.fail("testing-charge", item=1, error=ValueError("declined"), times=3)

    run = harness.run(many, orders=["a", "bb"])

    assert (run.status, run.reason) == ("failed", "step_failed")
    assert run.error is not None
    assert [run.error[key] for key in ("step", "item", "type", "message")] == [
        "testing-charge",
        1,
        "ValueError",
        "declined",
    ]
    with pytest.raises(RunFailed, match="ValueError: declined"):
        run.result()


@pytest.mark.parametrize(("after", "calls"), [(False, 1), (True, 3)])
def test_a_crash_counts_as_none_of_the_attempts(harness: Harness, after: bool, calls: int) -> None:
    harness.crash("testing-charge", times=2, after=after)

    run = harness.run(one)

    charging = run.step("testing-charge")
    assert (run.output, charging.attempts, charging.crashes) == (4, 1, 2)
    assert charged == ["book 1 -1"] * calls


def test_the_third_crash_ends_it(harness: Harness) -> None:
    harness.crash("testing-charge", times=3)
    run = harness.run(one)
    assert (run.status, run.step("testing-charge").reason) == ("failed", "worker_crashed")


@pytest.mark.parametrize("seed", range(3))
def test_doubled_and_shuffled_messages_change_nothing(harness: Harness, seed: int) -> None:
    harness.duplicate()
    harness.shuffle(seed)
    run = harness.run(many, orders=["a", "bb", "ccc", "dddd"])
    assert run.output == 10
    assert sorted(charged) == ["a 1 0", "bb 1 1", "ccc 1 2", "dddd 1 3"]
    assert [event.type for event in run.events].count("step_completed") == 4 + 1 + 1 + 1


def test_the_same_seed_gives_the_same_order(harness: Harness) -> None:
    orders = [str(number) for number in range(8)]
    seen = []
    for seed in (1, 1, 2):
        charged.clear()
        harness.shuffle(seed)
        harness.run(many, orders=orders)
        seen.append(list(charged))
    assert seen[0] == seen[1] != seen[2]


# --- time and people ---------------------------------------------------------------------------


def test_a_started_run_waits_for_the_clock_and_for_people(harness: Harness) -> None:
    run = harness.start(waits())
    assert run.status == "waiting"
    harness.clock.advance("1d")
    assert run.step("paid").status == "waiting"

    run.signal("paid", {"amount": 5})
    assert run.step("paid").status == "completed"
    run.approve("review", by="Ada")

    assert (run.status, run.output) == ("completed", 5)
    assert run.step("review").output["by"] == "Ada"


def test_what_nobody_answers_in_time_expires(harness: Harness) -> None:
    run = harness.run(waits())
    assert (run.status, run.step("paid").reason) == ("failed", "expired")


def test_a_run_that_only_a_person_can_help_comes_back_waiting(harness: Harness) -> None:
    harness.signal("paid", {"amount": 7})  # early: the step takes it when it begins to wait
    run = harness.run(waits())
    assert (run.status, run.step("review").status) == ("waiting", "waiting")
    with pytest.raises(RunFailed, match="waits is waiting"):
        run.result()
    run.reject("review")
    assert (run.status, run.step("review").reason) == ("failed", "rejected")


def test_a_paused_run_goes_on_when_it_is_resumed(harness: Harness) -> None:
    run = harness.start(many, orders=["a"])
    run.pause()
    harness.clock.advance("60d")
    assert run.status == "paused"
    run.resume()
    assert run.finish().output == 1


def test_a_cancelled_run_ends_without_starting_anything(harness: Harness) -> None:
    run = harness.start(many, orders=["a"])
    run.cancel()
    assert run.status == "cancelled"
    assert run.step("testing-total").status == "cancelled"


def test_the_clock_stands_still_until_it_is_moved(harness: Harness) -> None:
    assert harness.clock.now == datetime(2027, 1, 31, tzinfo=UTC)
    harness.clock.advance(timedelta(hours=1))
    harness.clock.advance_to(datetime(2027, 2, 1, tzinfo=UTC))
    assert harness.clock.now == datetime(2027, 2, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="is over"):
        harness.clock.advance_to(datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidInput, match="no time zone"):
        harness.clock.advance_to(datetime(2028, 1, 1))
    with pytest.raises(InvalidInput, match="soon"):
        harness.clock.advance("soon")


def test_a_function_stands_in_for_an_actor(harness: Harness) -> None:
    document = {
        "name": "mail",
        "steps": {"send": {"uses": "actor", "with": {"actor": "testing-mail", "to": "Ada"}}},
    }
    harness.actor("testing-mail", lambda to: f"sent to {to}")
    assert harness.run(document).output == "sent to Ada"


def test_the_plugin_is_there_for_pytest() -> None:
    found = {entry.name: entry.value for entry in entry_points(group="pytest11")}
    assert found["engine"] == "engine.testing.plugin"
