"""Other workflows and actors as steps: in Python and as a document, one definition."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from engine import registry, step, workflow, workflow_step
from engine.authoring import ActorStep
from tests.support.tracing import same, traced


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_workflows", {})


@step
def undo(order: Any = None) -> Any:
    return order


@step
def tell(about: Any = None) -> Any:
    return about


def test_a_child_workflow_is_called_mapped_and_given_options() -> None:
    @workflow
    def order_report(url: str, wait: int = 3) -> Any:
        return tell(url)

    def body(x: Any) -> Any:
        first = order_report(x.url)
        order_report.as_step(x.url, wait=5, version=2, parent_ends="leave", name="second")
        many = order_report.as_step.map(x.urls, name="many", allow_failures=1)
        alone = order_report.as_step.using(wait=False, name="alone", timeout="1h")(url=first)
        undo.compensates(alone)(alone.execution)
        return many

    same(
        traced(body),
        """
        steps:
          order_report:
            uses: workflow
            with: {workflow: order-report, input: {url: "${{ input.x.url }}"}}
          second:
            uses: workflow
            with:
              workflow: order-report
              input: {url: "${{ input.x.url }}", wait: 5}
              version: 2
              parent_ends: leave
          many:
            uses: workflow
            with: {workflow: order-report, input: {url: "${{ item }}"}}
            for_each: "${{ input.x.urls }}"
            allow_failures: 1
          alone:
            uses: workflow
            with:
              workflow: order-report
              input: {url: "${{ steps.order_report.output }}"}
              wait: false
            timeout: 1h
            compensate: undo
          undo:
            uses: python
            with: {function: HERE.undo, order: "${{ steps.alone.output.execution }}"}
        output: "${{ steps.many.output }}"
        """,
        __name__,
    )


def test_a_workflow_known_by_name_takes_its_input_by_name_or_whole() -> None:
    report = workflow_step("nightly-report")

    def body(x: Any) -> Any:
        report(day=x.day)
        report({"name": x.day}, name="b", wait=False)
        report.when(x.ok == True)(x, name="c", after=report(name="d"))  # noqa: E712
        return report.map(x.days, name="e")

    same(
        traced(body),
        """
        steps:
          nightly_report:
            uses: workflow
            with: {workflow: nightly-report, input: {day: "${{ input.x.day }}"}}
          b:
            uses: workflow
            with: {workflow: nightly-report, input: {name: "${{ input.x.day }}"}, wait: false}
          d: {uses: workflow, with: {workflow: nightly-report}}
          c:
            uses: workflow
            with: {workflow: nightly-report, input: "${{ input.x }}"}
            needs: [d]
            when: "${{ input.x.ok == true }}"
          e:
            uses: workflow
            with: {workflow: nightly-report, input: "${{ item }}"}
            for_each: "${{ input.x.days }}"
        output: "${{ steps.e.output }}"
        """,
        __name__,
    )


def test_an_actor_is_called_as_a_step_is() -> None:
    def send(order: Any, *, currency: str = "EUR") -> Any:
        return [order, currency]

    mail = ActorStep("shop.Send", inspect.signature(send), function=send, attempts=2)

    def body(x: Any) -> Any:
        sent = mail.map(x.orders, currency="USD", max_parallel=2)
        return mail.using(name="again", cache_ttl="1h", cache_key=lambda currency: currency)(sent)

    same(
        traced(body),
        """
        steps:
          shop_send:
            uses: actor
            with: {actor: shop.Send, order: "${{ item }}", currency: USD}
            for_each: "${{ input.x.orders }}"
            max_parallel: 2
            retry: {attempts: 2}
          again:
            uses: actor
            with: {actor: shop.Send, order: "${{ steps.shop_send.output }}"}
            cache: {key: EUR, ttl: 1h}
            retry: {attempts: 2}
        output: "${{ steps.again.output }}"
        """,
        __name__,
    )
    assert mail(1) == [1, "EUR"]
