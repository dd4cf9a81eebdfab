"""What may be a step and a workflow in Python, and how their names become expressions."""
# Lambdas give a misuse its line; names in any letters are the subject here.
# ruff: noqa: PLW0108, PLC2401

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine import registry, step, workflow
from engine.authoring import TracingError
from engine.definition import parse
from tests.support.tracing import traced


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_workflows", {})


@step
def keep(value: Any = None) -> Any:
    return value


class Shop:
    def fetch(self, url: str) -> str:
        return url

    @classmethod
    def make(cls, url: str) -> str:
        return url

    @staticmethod
    def plain(url: str) -> str:
        return url

    def __call__(self, url: str) -> str:
        return url


def pages(url: str) -> Iterator[str]:
    yield url


@functools.lru_cache
def remembered(url: str) -> str:
    return url


NO_STEPS: list[tuple[Any, str, str]] = [
    (Shop, "a step is a function, not the class Shop", "write def"),
    (dict, "not the class dict", "write def"),
    (Shop.__dict__["make"], "not of type classmethod", "write def"),
    (math.sqrt, "step sqrt has unnamed arguments", "by name"),
    (pages, "pages yields", "return a list"),
    (functools.lru_cache(pages), "pages yields", "return a list"),
    ("fetch", "its name by keyword", "name='fetch'"),
    (keep, "keep is a step already", ".using(…)"),
]


@pytest.mark.parametrize(("given", "said", "hint"), NO_STEPS)
def test_what_no_worker_could_call_is_no_step(given: Any, said: str, hint: str) -> None:
    with pytest.raises(TracingError) as caught:
        step(given)
    assert caught.value.message.startswith(f"{__file__}:")
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_static_and_decorated_functions_are_steps() -> None:
    assert step(Shop.plain)("a") == step(Shop.__dict__["plain"])("a") == "a"
    assert step(remembered)("a") == "a"
    assert registry.find_function(f"{__name__}.Shop.plain")("b") == "b"


def test_two_steps_of_one_name_are_told_apart_before_a_worker_calls_the_wrong_one() -> None:
    def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(value: Any = None) -> Any:
            return function(function(value))

        return wrapper

    first, second = step(doubled(str)), step(doubled(abs))
    assert traced(lambda x: second(x))
    with pytest.raises(TracingError, match="another function is called") as caught:
        traced(lambda x: first(x))
    assert "functools.wraps" in caught.value.hint


def test_a_function_with_a_name_in_any_letters_may_be_called_by_documents() -> None:
    @step(name="messen")
    def ändern(value: Any) -> Any:
        return value

    made = traced(lambda x: ändern(x)).definition.step("messen")
    assert str(made.function).endswith(".ändern")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda x: keep.when(isinstance(x, int))(x), "when() is given False"),
        (lambda x: keep(round(x, 2)), "rounded to a whole number only"),
        (lambda x: keep((x + x.size)()), "a handle is no function"),
        (lambda x: keep(x["größe"]()), "a handle is no function"),
        (lambda x: keep(x[-1]), "they count from 0"),
        (lambda x: keep(x[1.5]), "cannot choose an entry"),
        (lambda x: keep(x & 3), "'&&' needs true or false"),
        (lambda x: keep({f"{x}": 1}), "an expression cannot be a key"),
    ],
)
def test_what_tracing_cannot_mean_names_its_line(body: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(TracingError) as caught:
        traced(body)
    assert caught.value.message.startswith(f"{__file__}:{body.__code__.co_firstlineno}:")
    assert said in str(caught.value)


def test_outside_of_workflows_a_condition_is_one() -> None:
    assert keep.when(True)(5) == 5
    assert keep.when(False)(5) is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("_x: int", "'_x' cannot be an input"),
        ("__base__: int", "'__base__' cannot be an input"),
        ("model_config: int", "'model_config' cannot be an input"),
        ("model_dump: int", "model_dump"),
        ("x=object()", "not JSON serializable"),
    ],
)
def test_what_cannot_be_an_input_is_refused_with_its_line(source: str, said: str) -> None:
    names: dict[str, Any] = {"keep": keep}
    exec(f"def body({source}): return keep(1)", names)  # each a function of its own
    with pytest.raises(TracingError) as caught:
        workflow(name="w")(names["body"])
    assert said in caught.value.message
    assert caught.value.hint
    assert inspect.isfunction(names["body"])


def test_a_document_is_told_which_options_of_a_step_do_not_apply_to_it() -> None:
    @step(attempts=4, timeout="30s", cache_ttl="1h", queue="long")
    def fetch(url: str) -> str:
        return url

    name = f"{__name__}.{fetch.fn.__qualname__.replace('.<locals>', '')}"
    body = {"uses": "python", "with": {"function": name, "url": "a"}, "queue": "default"}
    document = {"name": "a", "defaults": {"timeout": "1m"}, "steps": {"one": body, "two": body}}
    assert [str(note) for note in registry.unused_options(parse(document))] == [
        f"steps.{step}: cache, retry of @step do not apply to a document "
        "(write them into this step)"
        for step in ("one", "two")
    ]
    assert registry.unused_options(traced(lambda x: fetch(x)).definition) == []
