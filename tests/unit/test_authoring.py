"""Workflows in Python: the same definition as a document, and a line for every misuse."""
# Lambdas around built-ins give a misuse its line; operators are the subject here.
# ruff: noqa: PLW0108, RUF005, SIM115, B008

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from engine import registry, sleep, step, workflow
from engine.authoring import Handle, TracingError
from engine.definition import check_input, content_hash, parse_text
from engine.errors import InvalidDocument, InvalidInput, UnknownStep
from engine.expressions import compile


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_workflows", {})


@step(attempts=4, backoff="1s", timeout="30s")
def fetch(url: str) -> list[dict[str, Any]]:
    return [{"url": url, "amount": 2}]


@step
def clean(order: dict[str, Any], currency: str = "EUR") -> dict[str, Any]:
    return {**order, "currency": currency}


@step
def total(orders: list[dict[str, Any]]) -> float:
    return float(sum(order["amount"] for order in orders))


@step(name="greeting")
def greet(name: str) -> str:
    return f"hello {name}"


@step
async def later(value: Any = None, **more: Any) -> Any:
    return value


DOCUMENT = """
name: orders
description: Sum up what an address lists.
input:
  additionalProperties: false
  properties:
    url: {title: Url, type: string}
    currency: {default: EUR, title: Currency, type: string}
  required: [url]
  type: object
steps:
  fetch:
    uses: python
    with: {function: FILE.fetch, url: "${{ input.url }}"}
    retry: {attempts: 4, backoff: 1s}
    timeout: 30s
  clean:
    uses: python
    with: {function: FILE.clean, order: "${{ item }}", currency: "${{ input.currency }}"}
    for_each: "${{ steps.fetch.output }}"
    max_parallel: 20
  sleep:
    uses: sleep
    with: {for: 5s}
    needs: [clean]
  total:
    uses: python
    with: {function: FILE.total, orders: "${{ steps.clean.output }}"}
    needs: [sleep]
    when: "${{ steps.clean.output.size() > 0 }}"
output: {total: "${{ steps.total.output }}"}
"""


def test_a_python_workflow_is_the_same_definition_as_its_document() -> None:
    @workflow
    def orders(url: str, currency: str = "EUR") -> dict[str, Any]:
        """Sum up what an address lists."""
        cleaned = clean.map(fetch(url), currency=currency, max_parallel=20)
        pause = sleep("5s", after=cleaned)
        return {"total": total.when(cleaned.size() > 0)(cleaned, after=[pause])}

    written = parse_text(DOCUMENT.replace("FILE", __name__))
    made = orders.definition
    assert made == written
    assert content_hash(made.document) == content_hash(written.document)
    assert [(s.name, s.needs, s.dependants) for s in made.steps] == [
        ("fetch", (), (1,)),
        ("clean", (0,), (2, 3)),
        ("sleep", (1,), (3,)),
        ("total", (1, 2), ()),
    ]
    assert registry.workflows() == [made]


def test_a_step_stays_a_function_outside_of_workflows() -> None:
    assert fetch.fn("x") == fetch("x") == [{"url": "x", "amount": 2}]
    assert clean.when(True)({"a": 1}) == {"a": 1, "currency": "EUR"}
    assert vars(clean)["__name__"] == "clean"
    assert registry.find_function(f"{__name__}.clean") is clean.fn
    assert f"{__name__}.greet" in registry.function_names()


def test_a_function_that_is_not_there_is_an_unknown_step_with_a_hint() -> None:
    with pytest.raises(UnknownStep, match="did you mean"):
        registry.find_function(f"{__name__}.cleen")


class Filter(BaseModel):
    words: list[str] = []


def test_the_schema_of_the_input_comes_from_the_signature() -> None:
    @workflow(name="typed", title="Typed", description="d", defaults={"timeout": "5s"})
    def typed(
        count: Annotated[int, Field(ge=1, le=9, title="How many")] = 3,
        mode: Literal["a", "b"] = "a",
        chosen: Filter = Filter(),
        ratio: float | None = None,
    ) -> Any:
        return later(count, mode=mode, chosen=chosen, ratio=ratio)

    made = typed.definition
    properties = made.input_schema["properties"]
    assert properties["count"] == {
        "default": 3,
        "maximum": 9,
        "minimum": 1,
        "title": "How many",
        "type": "integer",
    }
    assert properties["mode"]["enum"] == ["a", "b"]
    assert (made.title, made.description, made.steps[0].timeout) == ("Typed", "d", 5.0)
    given = check_input(made, {"count": 4})
    assert given == {"count": 4, "mode": "a", "chosen": {"words": []}, "ratio": None}
    with pytest.raises(InvalidInput) as caught:
        check_input(made, {"count": 10, "mod": "a", "chosen": {"words": [1]}})
    assert [fault.path for fault in caught.value.faults] == [
        "input.count",
        "input.chosen.words[0]",
        "input.mod",
    ]


def traced(body: Callable[[Any], Any]) -> dict[str, Any]:
    @workflow(name="traced")
    def traced_workflow(x: Any, y: Any = None) -> Any:
        return body(x)

    return traced_workflow.definition.document


OPERATORS: list[tuple[Callable[[Any], Any], str | None]] = [
    (lambda x: x.a.b, "input.x.a.b"),
    (lambda x: x["a"]["b c"][0], 'input.x.a["b c"][0]'),
    (lambda x: x + 1, "input.x + 1"),
    (lambda x: 1 - x, "1 - input.x"),
    (lambda x: (x + 1) * 2, "(input.x + 1) * 2"),
    (lambda x: 2 * (x - x), "2 * (input.x - input.x)"),
    (lambda x: x / 2 % 3, "(input.x / 2) % 3"),
    (lambda x: -x, "-input.x"),
    (lambda x: x == "a'b", 'input.x == "a\'b"'),
    (lambda x: x != None, "input.x != null"),  # noqa: E711  # it writes an expression
    (lambda x: (x >= 1) & (x < 9) | ~(x == True), None),  # noqa: E712  # the same
    (lambda x: abs(x) + round(x) + math.floor(x) + math.ceil(x), None),
    (lambda x: x.items.map(lambda o: o.amount * 2), "input.x.items.map(o, o.amount * 2)"),
    (lambda x: x.filter(lambda o: o.ok).size(), "input.x.filter(o, o.ok).size()"),
    (lambda x: x.matches("^a\\d"), 'input.x.matches("^a\\\\d")'),
    (lambda x: x["a-b"].startsWith("é"), 'input.x["a-b"].startsWith("é")'),
    (lambda x: x + [1, {"a": x}], 'input.x + [1, {"a": input.x}]'),
    (lambda x: (x + 1).a, "(input.x + 1).a"),
]


@pytest.mark.parametrize(("body", "text"), OPERATORS)
def test_operators_on_a_handle_write_expressions(
    body: Callable[[Any], Any], text: str | None
) -> None:
    shown = traced(lambda x: later(body(x)))["steps"]["later"]["with"]["value"]
    if text is not None:
        assert shown == f"${{{{ {text} }}}}"
    compile(shown, "with")


def test_text_with_handles_interpolates() -> None:
    document = traced(lambda x: later(f"{x.n} of {x}", a=str(x), b=[{"c": x}], d="${{ input.y }}"))
    found = compile(document["steps"]["later"]["with"], "with").evaluate(
        {"input": {"x": {"n": 5}, "y": 6}}
    )
    assert found["value"] == '5 of {"n":5}'
    assert found["a"] == '{"n":5}'
    assert found["b"] == [{"c": {"n": 5}}]
    assert found["d"] == 6


def _loop(x: Any) -> None:
    for _ in x:
        pass


def _assign(x: Any) -> None:
    x.a = 1


def _assign_item(x: Any) -> None:
    x["a"] = 1


def _delete(x: Any) -> None:
    del x.a


def _enter(x: Any) -> None:
    with x:
        pass


async def _await(x: Any) -> Any:
    return await x


def _unpack(x: Any) -> Any:
    first, second = x
    return first, second


MISUSES: list[Callable[[Any], Any]] = [
    lambda x: bool(x),
    lambda x: 1 if x else 2,
    lambda x: x and 1,
    lambda x: not x,
    lambda x: 1 < x < 3,
    _loop,
    lambda x: list(x),
    _unpack,
    lambda x: next(x),
    lambda x: len(x),
    lambda x: 1 in x,
    lambda x: {x: 1},
    lambda x: {x},
    lambda x: x[1:2],
    lambda x: x // 2,
    lambda x: 2 // x,
    lambda x: x**2,
    lambda x: x @ x,
    lambda x: x << 1,
    lambda x: x ^ x,
    lambda x: divmod(x, 2),
    lambda x: int(x),
    lambda x: float(x),
    lambda x: [1, 2][x],
    lambda x: range(x),
    lambda x: math.trunc(x),
    lambda x: f"{x:.2f}",
    lambda x: x.nope(),
    lambda x: x.when(True),
    lambda x: x._private,
    lambda x: x.size(more=1),
    lambda x: x.map(1),
    lambda x: x.map(lambda: 1),
    lambda x: x + object(),
    lambda x: x + f"{x}",
    lambda x: later(object()),
    lambda x: sorted(x),
    lambda x: sum(x),
    lambda x: "".join(x),
    lambda x: open(x),
    lambda x: clean(x, nope=1),
    lambda x: clean(),
    lambda x: (fetch(x), fetch(x)),
    lambda x: clean.map(5),
    lambda x: later(x, after=[x]),
    lambda x: clean.when("x > 1")(x),
    lambda x: clean.using(nope=1)(x),
    lambda x: sleep(),
    lambda x: sleep(5, until="2027-01-31T08:00:00Z"),
    lambda x: reversed(x),
    _assign,
    _assign_item,
    _delete,
    _enter,
]


@pytest.mark.parametrize("body", MISUSES)
def test_a_misuse_names_the_file_and_the_line(body: Callable[[Any], Any]) -> None:
    with pytest.raises(TracingError) as caught:
        traced(body)
    assert caught.value.message.startswith(f"{__file__}:")
    line = int(caught.value.message.removeprefix(f"{__file__}:").split(":")[0])
    first = body.__code__.co_firstlineno
    assert first <= line <= first + 3


def test_an_awaited_handle_is_refused() -> None:
    with pytest.raises(TracingError, match="is not async"):
        workflow(name="bad")(_await)


def test_every_operator_of_python_is_decided() -> None:
    binary = re.findall(r"\w+", "add sub mul truediv mod and or floordiv pow matmul lshift rshift")
    binary += ["xor", "divmod"]
    wanted = re.findall(
        r"\w+",
        "neg pos invert abs round trunc floor ceil int float complex index bool hash len iter next "
        "contains reversed await enter exit setitem delitem format str eq ne lt le gt ge",
    )
    wanted += [*binary, *(f"r{name}" for name in binary)]
    missing = [name for name in wanted if f"__{name}__" not in vars(Handle)]
    assert missing == []


def test_a_repeated_call_needs_a_name() -> None:
    def twice(x: Any) -> Any:
        return [fetch(x), fetch(x, name="fetch-again")]

    document = traced(twice)
    assert list(document["steps"]) == ["fetch", "fetch-again"]
    assert document["output"][1] == "${{ steps['fetch-again'].output }}"


def test_arguments_called_name_go_to_the_function_and_using_names_the_step() -> None:
    def body(x: Any) -> Any:
        return greet.using(name="second", after=greet("Ada"))(name=x)

    steps = traced(body)["steps"]
    assert list(steps) == ["greeting", "second"]
    assert steps["greeting"]["with"]["name"] == "Ada"
    assert steps["second"]["needs"] == ["greeting"]


def test_a_handle_of_another_workflow_is_refused() -> None:
    kept: list[Any] = []
    traced(lambda x: later(kept.append(x), a=x))  # type: ignore[func-returns-value]  # on purpose
    with pytest.raises(TracingError, match="another workflow"):
        traced(lambda x: later(kept[0]))


def test_a_workflow_without_steps_or_with_wrong_options_names_its_line() -> None:
    with pytest.raises(InvalidDocument, match=r"test_authoring\.py:\d+: .*not valid"):
        traced(lambda x: None)

    @step(attempts=0)
    def never() -> None: ...

    with pytest.raises(InvalidDocument, match=r"steps\.never\.retry\.attempts"):
        traced(lambda x: never())


def test_steps_with_arguments_that_have_no_name_are_refused() -> None:
    for function in (lambda *rest: 1, lambda a, /: 1, lambda function: 1):
        with pytest.raises(TracingError):
            step(function)


def test_workflows_are_started_not_called() -> None:
    @workflow
    def inner(x: int) -> Any:
        return later(x)

    with pytest.raises(TracingError, match="is started"):
        inner(1)


def test_two_workflows_of_one_name_are_refused_unless_they_are_equal() -> None:
    traced(lambda x: later(x))
    traced(lambda x: later(x))
    with pytest.raises(InvalidDocument, match="two different workflows"):
        traced(lambda x: later([x]))
