"""What a workflow's body may not say about ends, waits, options and children, line by line."""
# Lambdas give a misuse its line.
# ruff: noqa: PLW0108

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import engine
from engine import (
    approval,
    at_end,
    error_of,
    execution,
    fail,
    failures_of,
    registry,
    sleep,
    status_of,
    step,
    wait_for_signal,
    workflow,
    workflow_step,
)
from engine.authoring import ActorStep, TracingError
from engine.errors import InvalidDocument
from tests.support.tracing import traced


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_workflows", {})


@step
def charge(order: Any) -> Any:
    return order


@step
def alert(why: Any = None) -> Any:
    return why


@step(cache_ttl="1h", cache_key=lambda currency: currency)
def rate(money: Any) -> Any:
    return money


actor = ActorStep("send", inspect.signature(lambda order: order))


def report(url: str) -> Any:
    return charge(url)


def line_of(error: TracingError) -> int:
    assert error.message.startswith(f"{__file__}:")
    return int(error.message.removeprefix(f"{__file__}:").split(":")[0])


MISUSES: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda x: status_of(x), "status_of takes what steps returned", "status_of(fetch(url))"),
    (lambda x: error_of(charge(x).id), "error_of takes what steps returned", "error_of(fetch"),
    (lambda x: error_of([charge(x)]), "error_of takes what steps returned", "error_of(fetch"),
    (lambda x: failures_of(x), "failures_of takes what steps", "failures_of(charge.map(orders))"),
    (lambda x: failures_of(charge(x)), "step 'charge' is no fan-out", "error_of(…)"),
    (lambda x: alert.handles()(x), "handles() takes what steps returned", "alert.handles(charged)"),
    (lambda x: alert.handles(x)(x), "handles takes what steps returned", "handles(charged)(…)"),
    (lambda x: alert.compensates(x)(x), "compensates takes what steps", "compensates(charged)"),
    (lambda x: sleep(5, compensates=[charge(x), alert()]), "undoes one other", "each its own"),
    (lambda x: sleep(5, handles=x), "handles takes what steps returned", "alert.handles"),
    (lambda x: sleep(5, after=x), "after takes what steps returned", "after=[fetch(url)]"),
    (lambda x: sleep(5, when="x"), "when takes a condition on handles", "step.when(total > 0)"),
    (lambda x: sleep(5, name=3), "name= takes a text", "name='second'"),  # type: ignore[arg-type]
    (lambda x: sleep(5, timeout=3), "sleep step has no option 'timeout'", "known: name"),  # type: ignore[call-arg]
    (lambda x: alert.handles(charge(x)), "step alert is prepared here and never", "alert.when(…)"),
    (lambda x: [charge(x), alert.when(x)][0], "step alert is prepared here and never", "(…)(…)"),
    (lambda x: at_end(), "at_end() takes what steps returned", "at_end(cleanup(order))"),
    (lambda x: at_end(alert), "at_end takes what steps returned", "at_end(cleanup(order))"),
    (lambda x: at_end(*[alert(x)] * 2), "'alert' runs at the end already", "once"),
    (lambda x: charge(x, max_parallel=3), "max_parallel= is for a fan-out", "charge.map(items,"),
    (lambda x: charge.using(allow_failures=3)(x), "allow_failures= is for a fan-out", "charge.map"),
    (lambda x: charge.using(tiemout=3)(x), "has no option 'tiemout'", "did you mean 'timeout'"),
    (lambda x: charge.using(wait=False)(x), "has no option 'wait'", "one of name"),
    (lambda x: charge.using(on_failure="alert")(x), '"fail" or "continue"', "alert.handles"),
    (lambda x: charge.using(cache_key=x)(x), "nothing without cache_ttl=", 'cache_ttl="1h"'),
    (lambda x: charge.using(on="error")(x), "on= takes a list", 'on=["error", "timeout"]'),
    (lambda x: rate(x), "cache_key= asks for 'currency'", "its arguments: money"),
    (lambda x: charge.using(cache_ttl=1, cache_key=dict)(x), "written in Python", "lambda order"),
    (lambda x: charge.using(cache_ttl=1, cache_key=lambda order: len(order))(x), "no length", ""),
    (lambda x: wait_for_signal(x.name), "wait_for_signal() takes a name", '"paid"'),
    (lambda x: wait_for_signal("a", schema=x), "known before an execution", "schema=Model"),
    (lambda x: wait_for_signal("a", schema=5), "no type that JSON can carry", "schema=Model"),
    (lambda x: approval("a", form=Callable), "no type that JSON can carry", "form=Model"),
    (lambda x: approval("a", mustapprove=1), "no option 'mustapprove'", "known: name"),  # type: ignore[call-arg]
    (lambda x: [approval("a"), approval("b")], "'approval' is already in", "name='approval-2'"),
    (lambda x: workflow_step(""), "takes the name of a workflow", 'workflow_step("report")'),
    (lambda x: workflow_step("b")(1), "takes its input by name, or whole", "report(url=…)"),
    (lambda x: workflow_step("b")(x, a=1), "takes its input by name, or whole", "report({'url'"),
    (lambda x: actor(x, nope=1), "unexpected keyword argument 'nope'", "(order)"),
    (lambda x: workflow(name="in")(report), "cannot be defined inside", "move it"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "problem", "hint"), MISUSES)
def test_a_misuse_names_its_line_the_reason_and_what_to_write(
    body: Callable[[Any], Any], problem: str, hint: str
) -> None:
    with pytest.raises(TracingError) as caught:
        traced(body)
    assert line_of(caught.value) == body.__code__.co_firstlineno
    assert problem in caught.value.message
    assert hint in caught.value.hint


def test_a_step_with_two_answers_to_its_failure_or_two_that_undo_it_is_refused() -> None:
    @step(on_failure="continue")
    def pay(order: Any) -> Any:
        return order

    with pytest.raises(TracingError, match=r"'pay' has on_failure 'continue' already"):
        traced(lambda x: alert.handles(pay(x))())

    def twice(x: Any) -> Any:
        paid = charge(x)
        alert.compensates(paid)(name="one")
        alert.compensates(paid)(name="two")

    with pytest.raises(TracingError, match=r"'charge' has compensate 'one' already") as caught:
        traced(twice)
    assert line_of(caught.value) == twice.__code__.co_firstlineno + 3


FAULTY: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: wait_for_signal("paid", deadline="soon"), "steps.paid.with.deadline"),
    (lambda x: [charge(x), approval("")], "steps.approval.with.title"),
    (lambda x: [charge(x), alert(execution.outcome)], "steps.alert.with.why"),
    (lambda x: charge.map(x, allow_failures="many"), "steps.charge.allow_failures"),
    (lambda x: charge.using(memory="1GB")(x), "steps.charge.memory"),
    (lambda x: charge(sleep(5, compensates=alert(x))), "steps.charge"),
    (lambda x: workflow_step("b")(version="new"), "steps.b.with.version"),
    (lambda x: approval("a", name="in[0]"), "steps.in[0]"),
]


@pytest.mark.parametrize(("body", "path"), FAULTY)
def test_what_only_the_whole_document_shows_names_the_line_of_the_step(
    body: Callable[[Any], Any], path: str
) -> None:
    with pytest.raises(TracingError) as caught:
        traced(body)
    assert [fault.path for fault in caught.value.faults] == [path]
    assert line_of(caught.value) == body.__code__.co_firstlineno


def test_a_fault_of_the_workflow_itself_names_the_line_of_its_function() -> None:
    def body(x: Any) -> Any:
        return charge(x)

    with pytest.raises(InvalidDocument, match=r"tracing\.py:\d+: workflow 'traced'") as caught:
        traced(body, timeout="soon")
    assert [fault.path for fault in caught.value.faults] == ["timeout"]


def test_a_handle_of_another_workflow_is_refused_at_any_depth() -> None:
    kept: list[Any] = []

    def keep(x: Any) -> Any:
        kept.append(charge(x))

    traced(keep)
    for body in (
        lambda x: charge([{"a": kept[0]}]),
        lambda x: alert.handles(kept[0])(),
        lambda x: at_end(kept[0]),
        lambda x: charge(error_of(kept[0])),
    ):
        with pytest.raises(TracingError, match="another workflow"):
            traced(body)


OUTSIDE: list[tuple[Callable[[], Any], str]] = [
    (lambda: sleep(5), "time.sleep"),
    (lambda: wait_for_signal("paid"), "@workflow"),
    (lambda: approval("Ship it?"), "@workflow"),
    (lambda: fail("no"), "raise an error"),
    (lambda: at_end(1), "@workflow"),
    (lambda: status_of(1), "in the body"),
    (lambda: execution.id, "ask context"),
    (lambda: alert.handles(1)(), "in the workflow's body"),
    (lambda: alert.compensates(1)(), "in the workflow's body"),
    (lambda: charge.map([1]), "use a loop here"),
    (lambda: actor(1), "send it a message"),
    (lambda: workflow_step("report")(), "engine run report"),
]


@pytest.mark.parametrize(("call", "hint"), OUTSIDE)
def test_what_only_a_workflow_can_say_is_refused_elsewhere(
    call: Callable[[], Any], hint: str
) -> None:
    with pytest.raises(TracingError) as caught:
        call()
    assert line_of(caught.value) == call.__code__.co_firstlineno
    assert hint in caught.value.hint


def test_options_of_a_step_are_checked_where_it_is_defined() -> None:
    for options, problem in (
        ({"tiemout": "5s"}, "step alert has no option 'tiemout'"),
        ({"on_failure": "ignore"}, '"fail" or "continue"'),
        ({"cache_key": 1}, "without cache_ttl="),
        ({"after": 1}, "no option 'after'"),
    ):
        with pytest.raises(TracingError) as caught:
            step(**options)(alert.fn)
        assert line_of(caught.value)
        assert problem in caught.value.message
    for signature in (lambda actor: 1, lambda *rest: 1):
        with pytest.raises(TracingError):
            ActorStep("send", inspect.signature(signature))


def test_what_workflows_are_written_with_can_be_imported_from_the_engine() -> None:
    for name in engine.__all__:
        assert getattr(engine, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        engine.nope  # noqa: B018
