"""What follows when a step run ends: decisions of the core, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.core import lifecycle, propagate, termination, transitions
from engine.core.event import EventType
from engine.core.execution_state import ExecutionState
from engine.core.plan import (
    AnswerParent,
    Apply,
    CancelChildren,
    Chain,
    ClaimItem,
    ClaimStep,
    CountNeeds,
    Dispatch,
    DropOpen,
    Emit,
    FailFanOut,
    FanOut,
    InsertRuns,
    MarkEnding,
    Order,
    Plan,
    QueueItem,
    SetColumns,
)
from engine.core.planning import first_rows
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.core.transitions import RunKey
from engine.definition import Definition, parse

NOW = 1_000_000
GRACE = 10_000_000
ERROR = {"message": "boom", "type": "ValueError"}
STEP = {"uses": "transform", "with": {"value": 1}}
STATE = ExecutionState(
    *("e", "owner", "workflow", 1),
    status=ExecutionStatus.RUNNING,
    steps_left=1,
    runs_done=1,
    runs_total=2,
)


def workflow(steps: dict[str, Any], **more: Any) -> Definition:
    return parse({"name": "w", "steps": steps, **more})


def two(**first: Any) -> Definition:
    return workflow({"a": {**STEP, **first}, "b": {**STEP, "needs": ["a"]}})


def fan_out(**more: Any) -> Definition:
    return workflow({"each": {**STEP, "for_each": "${{ input.xs }}", **more}})


def succeeded(state: ExecutionState, definition: Definition, item: int = -1, **more: Any) -> Plan:
    key = RunKey("e", 0, item)
    return propagate.after_success(state, definition, key, now=NOW, **({"ran": True} | more))


def failed(state: ExecutionState, definition: Definition, item: int = -1, **more: Any) -> Plan:
    key = RunKey("e", 0, item)
    return propagate.after_failure(
        state, definition, key, now=NOW, error=ERROR, grace=GRACE, **more
    )


def columns(plan: Plan) -> dict[str, Any]:
    """Return all that the plan writes of the execution."""
    return {
        k: v
        for order in plan.orders
        if isinstance(order, SetColumns)
        for k, v in order.values.items()
    }


def events(plan: Plan) -> list[EventType]:
    return [order.event.type for order in plan.orders if isinstance(order, Emit)]


def kinds(plan: Plan) -> list[type[Order]]:
    return [type(order) for order in plan.orders]


# --- a step ended ------------------------------------------------------------------------------


def test_a_completed_step_counts_for_its_dependants() -> None:
    assert succeeded(STATE, two()).orders == [CountNeeds([1], ran=True)]


def test_a_skipped_step_counts_for_its_dependants_as_not_run() -> None:
    assert succeeded(STATE, two(), ran=False).orders == [CountNeeds([1], ran=False)]


def test_the_state_that_was_given_is_left_as_it_was() -> None:
    before = replace(STATE)
    failed(STATE, two())
    assert before == STATE


def test_the_last_step_has_the_execution_looked_at_for_its_output() -> None:
    plan = succeeded(replace(STATE, steps_left=0), workflow({"a": STEP}))
    assert columns(plan) == {"due_at": NOW + termination.FINISH_GRACE}
    assert kinds(plan) == [SetColumns, Dispatch]


def test_the_last_step_of_a_paused_execution_waits_until_it_is_resumed() -> None:
    paused = replace(STATE, steps_left=0, status=ExecutionStatus.PAUSED)
    assert Dispatch not in kinds(succeeded(paused, workflow({"a": STEP})))


def test_a_failed_step_ends_its_execution_and_says_that_it_does() -> None:
    plan = failed(replace(STATE, active=1), two())
    assert plan.orders[1] == MarkEnding(RunKey("e", 0))
    assert DropOpen(StepStatus.SKIPPED, Reason.UPSTREAM_FAILED) in plan.orders
    written = columns(plan)
    assert (written["ending"], written["reason"]) == (ExecutionStatus.FAILED, "step_failed")
    assert written["due_at"] == NOW + GRACE
    assert '"step":"a"' in written["error"]
    assert plan.asks_again


def test_a_failure_that_may_be_passed_over_counts_as_run() -> None:
    assert failed(STATE, two(on_failure="continue")).orders == [CountNeeds([1], ran=True)]


def test_a_failure_that_is_handled_counts_as_run_for_its_handler_alone() -> None:
    steps = {
        "a": {**STEP, "on_failure": {"run": "mend"}},
        "b": {**STEP, "needs": ["a"]},
        "mend": STEP,
    }
    plan = failed(STATE, workflow(steps))
    assert [
        (list(order.steps), order.ran) for order in plan.orders if isinstance(order, CountNeeds)
    ] == [
        ([1], False),
        ([2], True),
    ]


def test_of_an_execution_that_ends_nothing_follows_while_others_run() -> None:
    ending = replace(STATE, ending=ExecutionStatus.CANCELLED, active=1)
    assert succeeded(ending, two()).orders == []
    assert failed(ending, two()).orders == []


def test_the_last_that_ran_of_an_ending_execution_writes_its_end() -> None:
    ending = replace(STATE, ending=ExecutionStatus.CANCELLED)
    plan = succeeded(ending, two())
    assert columns(plan)["status"] is ExecutionStatus.CANCELLED
    assert events(plan) == [EventType.CANCELLED]
    assert plan.orders[-1] == AnswerParent()


# --- an item ended -----------------------------------------------------------------------------


def test_an_item_queues_the_next_one() -> None:
    counted = FanOut(items=5, left=3, refill=2, failed=0, epoch=1)
    plan = succeeded(STATE, fan_out(), item=1, fan_out=counted)
    assert plan.orders == [QueueItem(RunKey("e", 0, 2))]


def test_with_all_items_under_way_an_item_queues_none() -> None:
    counted = FanOut(items=5, left=3, refill=5, failed=0, epoch=1)
    assert succeeded(STATE, fan_out(), item=1, fan_out=counted).orders == []


def test_the_last_item_completes_its_fan_out() -> None:
    counted = FanOut(items=2, left=0, refill=2, failed=0, epoch=1)
    plan = succeeded(replace(STATE, steps_left=2), fan_out(), item=1, fan_out=counted)
    assert plan.orders == [Apply(RunKey("e", 0), 1, transitions.join(now=NOW, items=2))]


def test_the_last_item_fails_its_fan_out_when_more_failed_than_may() -> None:
    counted = FanOut(items=4, left=0, refill=4, failed=2, epoch=1)
    tolerant = fan_out(allow_failures=1, on_failure="continue")
    plan = succeeded(replace(STATE, steps_left=2), tolerant, item=3, fan_out=counted)
    first = plan.orders[0]
    assert isinstance(first, Apply)
    assert first.transition.target is StepStatus.FAILED
    assert first.transition.data["message"] == "2 of 4 items failed"


def test_a_failed_item_ends_the_execution_at_once() -> None:
    counted = FanOut(items=4, left=3, refill=2, failed=1, epoch=1)
    plan = failed(replace(STATE, active=1), fan_out(), item=0, fan_out=counted)
    assert isinstance(plan.orders[0], FailFanOut)
    assert columns(plan)["ending"] is ExecutionStatus.FAILED


def test_a_failed_item_that_is_tolerated_lets_the_next_one_start() -> None:
    counted = FanOut(items=4, left=3, refill=2, failed=1, epoch=1)
    plan = failed(STATE, fan_out(allow_failures=1), item=0, fan_out=counted)
    assert plan.orders == [QueueItem(RunKey("e", 0, 2))]


# --- what the worker claims with it --------------------------------------------------------------

TERMS: dict[str, Any] = {"worker_id": "w", "now": NOW, "deadline": NOW + 1}
NEXT_STEP = ClaimStep(RunKey("e", 1), transitions.claim_next(**TERMS, input="{}"))
NEXT_ITEM = transitions.claim_next_item(**TERMS)


def test_the_dependant_that_is_claimed_is_not_queued_too() -> None:
    assert succeeded(STATE, two(), chain=Chain(step=NEXT_STEP)).orders == [NEXT_STEP]


def test_the_next_item_is_claimed_instead_of_queued() -> None:
    counted = FanOut(items=5, left=3, refill=2, failed=0, epoch=1)
    plan = succeeded(STATE, fan_out(), item=1, fan_out=counted, chain=Chain(item=NEXT_ITEM))
    assert plan.orders == [ClaimItem(RunKey("e", 0, 2), NEXT_ITEM)]


def test_of_a_paused_execution_nothing_is_claimed() -> None:
    paused = replace(STATE, status=ExecutionStatus.PAUSED)
    plan = succeeded(paused, two(), chain=Chain(step=NEXT_STEP))
    assert plan.orders == [CountNeeds([1], ran=True)]


def test_the_common_case_is_a_claim_alone() -> None:
    key, chain = RunKey("e", 0), Chain(step=NEXT_STEP)
    assert propagate.common_case(two(), key, chain) == NEXT_STEP
    fork = workflow({"a": STEP, "b": {**STEP, "needs": ["a"]}, "c": {**STEP, "needs": ["a"]}})
    assert propagate.common_case(fork, key, chain) is None


def test_the_common_case_of_an_item_is_the_claim_of_another() -> None:
    found = propagate.common_case(fan_out(), RunKey("e", 0, 7), Chain(item=NEXT_ITEM))
    assert isinstance(found, ClaimItem)
    assert found.transition == NEXT_ITEM


# --- the end, and what people do -----------------------------------------------------------------


def closing() -> Definition:
    return workflow({"a": STEP, "tidy": STEP}, **{"finally": ["tidy"]})


def test_an_execution_whose_steps_ended_well_begins_to_close() -> None:
    plan = succeeded(replace(STATE, steps_left=0), closing())
    assert columns(plan)["phase"] is Phase.CLOSING
    assert events(plan) == [EventType.CLOSING]
    assert kinds(plan)[-1] is InsertRuns


def test_cancelled_while_it_closes_an_execution_is_abandoned() -> None:
    state = replace(STATE, phase=Phase.CLOSING, active=1)
    plan = lifecycle.cancel(state, closing(), now=NOW, grace=GRACE, note=None)
    assert columns(plan)["phase"] is Phase.ABANDONED


def test_cancel_tells_the_executions_that_it_started() -> None:
    steps = {"child": {"uses": "workflow", "with": {"workflow": "other"}}}
    plan = lifecycle.cancel(STATE, workflow(steps), now=NOW, grace=GRACE, note="late")
    assert CancelChildren() in plan.orders
    assert columns(plan)["cancel_note"] == "late"


def test_a_deadline_leaves_an_execution_alone_that_is_ending_already() -> None:
    ending = replace(STATE, ending=ExecutionStatus.CANCELLED)
    assert lifecycle.time_out(ending, two(), now=NOW, grace=GRACE).orders == []


def test_an_execution_without_a_ready_step_is_looked_at_again() -> None:
    pending = replace(STATE, status=ExecutionStatus.PENDING, steps_left=0, runs_total=0)
    definition = workflow({"a": STEP})
    reused = [replace(row, reused=True) for row in first_rows(definition)]
    plan = lifecycle.begin(pending, definition, reused, now=NOW)
    assert plan.orders[-1] == Dispatch()
