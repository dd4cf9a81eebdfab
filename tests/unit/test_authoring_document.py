"""Each construct of the language, in Python and as a document: one definition."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

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
)
from tests.support.tracing import same, traced


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_workflows", {})


@step
def reserve(order: Any) -> Any:
    return order


@step(expires="5m", on_failure="continue")
def charge(order: Any, currency: str = "EUR") -> Any:
    return order


@step(isolation="process", memory="512MB", timeout="30s", attempts=3)
def resize(image: Any) -> Any:
    return image


@step
def undo(order: Any = None, why: Any = None) -> Any:
    return order


@step
def tell(about: Any = None) -> Any:
    return about


@step(cache_ttl="1h")
def rate(currency: str) -> float:
    return 1.0


@step(cache_ttl="1d", cache_key=lambda order, currency: [order.id, currency])
def price(order: Any, currency: str = "EUR", trace: str = "") -> float:
    return 1.0


class Decision(BaseModel):
    amount: float
    note: str = ""


def test_what_a_failure_does_and_how_long_a_step_may_be_queued() -> None:
    same(
        traced(lambda x: {"is": status_of(charge(x)), "why": error_of(charge(x, name="b")).type}),
        """
        steps:
          charge:
            uses: python
            with: {function: HERE.charge, order: "${{ input.x }}"}
            expires: 5m
            on_failure: continue
          b:
            uses: python
            with: {function: HERE.charge, order: "${{ input.x }}"}
            expires: 5m
            on_failure: continue
        output: {is: "${{ steps.charge.status }}", why: "${{ steps.b.error.type }}"}
        """,
        __name__,
    )


def test_a_process_of_its_own() -> None:
    same(
        traced(lambda x: [resize.using(timeout="1m", queue="long", memory="1GB")(x)][0]),
        """
        steps:
          resize:
            uses: python
            with: {function: HERE.resize, image: "${{ input.x }}"}
            retry: {attempts: 3}
            timeout: 1m
            queue: long
            isolation: process
            memory: 1GB
        output: "${{ steps.resize.output }}"
        """,
        __name__,
    )


def test_a_fan_out_that_tolerates_failures_and_tells_them_apart() -> None:
    def body(x: Any) -> Any:
        done = reserve.map(x, max_parallel=5, allow_failures="10%")
        return {"bad": failures_of(done).map(lambda f: f.item), "good": done.filter(lambda o: o)}

    same(
        traced(body),
        """
        steps:
          reserve:
            uses: python
            with: {function: HERE.reserve, order: "${{ item }}"}
            for_each: "${{ input.x }}"
            max_parallel: 5
            allow_failures: 10%
        output:
          bad: "${{ steps.reserve.failures.map(f, f.item) }}"
          good: "${{ steps.reserve.output.filter(o, o) }}"
        """,
        __name__,
    )


def test_results_that_are_kept_by_all_arguments_or_by_a_key() -> None:
    def body(x: Any) -> Any:
        price(x, trace="a")
        price.using(cache_key=x.number, cache_ttl=60, name="second")(x)
        return rate(x.currency)

    same(
        traced(body),
        """
        steps:
          price:
            uses: python
            with: {function: HERE.price, order: "${{ input.x }}", trace: a}
            cache: {key: ["${{ input.x.id }}", EUR], ttl: 1d}
          second:
            uses: python
            with: {function: HERE.price, order: "${{ input.x }}"}
            cache: {key: "${{ input.x.number }}", ttl: 60}
          rate:
            uses: python
            with: {function: HERE.rate, currency: "${{ input.x.currency }}"}
            cache: {key: {currency: "${{ input.x.currency }}"}, ttl: 1h}
        output: "${{ steps.rate.output }}"
        """,
        __name__,
    )


def test_a_handler_serves_the_steps_it_names() -> None:
    def body(x: Any) -> Any:
        reserved, resized = reserve(x), resize(x)
        told = tell.handles(reserved, resized)(error_of(reserved).message)
        fail(f"not told: {error_of(told).message}", handles=told)
        return resized

    same(
        traced(body),
        """
        steps:
          reserve:
            uses: python
            with: {function: HERE.reserve, order: "${{ input.x }}"}
            on_failure: {run: tell}
          resize:
            uses: python
            with: {function: HERE.resize, image: "${{ input.x }}"}
            retry: {attempts: 3}
            timeout: 30s
            isolation: process
            memory: 512MB
            on_failure: {run: tell}
          tell:
            uses: python
            with: {function: HERE.tell, about: "${{ steps.reserve.error.message }}"}
            on_failure: {run: fail}
          fail:
            uses: fail
            with: {message: "not told: ${{ string(steps.tell.error.message) }}"}
        output: "${{ steps.resize.output }}"
        """,
        __name__,
    )


def test_compensations_and_what_runs_at_the_end() -> None:
    def body(x: Any) -> Any:
        reserved = reserve(x)
        undo.compensates(reserved)(reserved, why=execution.error)
        kept = reserve.using(name="keep-it")(reserved)
        sleep("1s", name="settle", compensates=kept)
        at_end(tell(execution.outcome), sleep("2s"))
        return kept

    same(
        traced(body, timeout="2h"),
        """
        timeout: 2h
        steps:
          reserve:
            uses: python
            with: {function: HERE.reserve, order: "${{ input.x }}"}
            compensate: undo
          undo:
            uses: python
            with:
              function: HERE.undo
              order: "${{ steps.reserve.output }}"
              why: "${{ execution.error }}"
          keep-it:
            uses: python
            with: {function: HERE.reserve, order: "${{ steps.reserve.output }}"}
            compensate: settle
          settle: {uses: sleep, with: {for: 1s}}
          tell: {uses: python, with: {function: HERE.tell, about: "${{ execution.outcome }}"}}
          sleep: {uses: sleep, with: {for: 2s}}
        finally: [tell, sleep]
        output: "${{ steps['keep-it'].output }}"
        """,
        __name__,
    )


def test_a_signal_with_a_correlation_a_schema_and_its_times() -> None:
    def body(x: Any) -> Any:
        reserved = reserve(x)
        wait_for_signal("order.Paid", when=x.late == True, after=reserved)  # noqa: E712
        return wait_for_signal(
            "paid",
            correlation=x.id,
            schema=Decision,
            deadline="2d",
            look_back="1h",
            on_failure="continue",
        ).amount

    same(
        traced(body),
        """
        steps:
          reserve: {uses: python, with: {function: HERE.reserve, order: "${{ input.x }}"}}
          order_paid:
            uses: signal
            with: {name: order.Paid}
            needs: [reserve]
            when: "${{ input.x.late == true }}"
          paid:
            uses: signal
            with:
              name: paid
              correlation: "${{ input.x.id }}"
              schema:
                type: object
                properties:
                  amount: {title: Amount, type: number}
                  note: {default: "", title: Note, type: string}
                required: [amount]
              deadline: 2d
              look_back: 1h
            on_failure: continue
        output: "${{ steps.paid.output.amount }}"
        """,
        __name__,
    )


def test_an_approval_with_a_form() -> None:
    def body(x: Any) -> Any:
        form = {"properties": {"why": {"type": "string"}}}
        approval("Start?", form=form, approvers=x.people, name="first")
        yes = approval(
            f"Ship {x.id}?", description="Look twice.", approvers=["ada"], deadline=x.time
        )
        return {"by": yes.by, "said": yes.values.why, "status": status_of(yes)}

    same(
        traced(body),
        """
        steps:
          first:
            uses: approval
            with:
              title: Start?
              form: {properties: {why: {type: string}}}
              approvers: "${{ input.x.people }}"
          approval:
            uses: approval
            with:
              title: "Ship ${{ string(input.x.id) }}?"
              description: Look twice.
              approvers: [ada]
              deadline: "${{ input.x.time }}"
        output:
          by: "${{ steps.approval.output.by }}"
          said: "${{ steps.approval.output.values.why }}"
          status: "${{ steps.approval.status }}"
        """,
        __name__,
    )


def test_failing_on_a_condition() -> None:
    same(
        traced(lambda x: [fail(f"no {x.id}", when=x.amount < 0), reserve(x)][1]),
        """
        steps:
          fail:
            uses: fail
            with: {message: "no ${{ string(input.x.id) }}"}
            when: "${{ input.x.amount < 0 }}"
          reserve: {uses: python, with: {function: HERE.reserve, order: "${{ input.x }}"}}
        output: "${{ steps.reserve.output }}"
        """,
        __name__,
    )


def test_fields_of_an_output_may_be_called_as_what_is_known_of_a_step() -> None:
    made = traced(lambda x: [tell(x).status, tell(x, name="b").error, tell(x, name="c").failures])
    assert made.definition.document["output"] == [
        "${{ steps.tell.output.status }}",
        "${{ steps.b.output.error }}",
        "${{ steps.c.output.failures }}",
    ]


def test_the_execution_is_known_by_id_and_workflow() -> None:
    made = traced(lambda x: tell([execution.id, execution.workflow]))
    assert made.definition.document["steps"]["tell"]["with"]["about"] == [
        "${{ execution.id }}",
        "${{ execution.workflow }}",
    ]
