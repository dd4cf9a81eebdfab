"""The step types that need no network: python, transform, sleep."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from engine import steps as step_types
from engine.errors import StepError, UnknownStep
from engine.steps import Context, Park, find, names
from engine.steps import python as python_steps
from engine.steps.sleep import seconds_of

NOW = 1_800_000_000_000_000  # 2027-01-15T08:00:00Z


def _context(**changes: Any) -> Context:
    given: dict[str, Any] = {
        "execution_id": "0000000000001",
        "workflow": "orders",
        "step": "fetch",
        "idempotency_key": "key",
        "clock": lambda: NOW,
    }
    return Context(**(given | changes))


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    known: dict[str, Any] = {}

    def find_function(name: str) -> Any:
        if name not in known:
            raise UnknownStep(f"no {name}")
        return known[name]

    monkeypatch.setattr(python_steps, "find_function", find_function)
    return known


def _python(params: dict[str, Any]) -> Any:
    return find("python").run(params, _context())


def test_the_built_in_types_are_found_by_name() -> None:
    assert {"http", "python", "sleep", "transform"} <= set(names())
    assert all(find(name).name == name for name in names())


def test_an_unknown_type_names_those_there_are() -> None:
    with pytest.raises(UnknownStep, match="transform"):
        find("shell")


def test_a_type_that_cannot_be_loaded_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = EntryPoint("broken", "no.such.module:Type", step_types.GROUP)
    monkeypatch.setattr(step_types, "entry_points", lambda group: [broken])
    types = step_types._types.__wrapped__()
    assert "python" in types
    assert "broken" not in types


def test_a_function_gets_its_parameters_by_name(functions: dict[str, Any]) -> None:
    functions["shop.add"] = lambda first, second=10: first + second
    params = {"function": "shop.add", "first": 1}
    assert _python(params) == 11
    assert _python(params | {"second": 2}) == 3
    assert params == {"function": "shop.add", "first": 1}


def test_a_coroutine_function_is_awaited(functions: dict[str, Any]) -> None:
    async def double(value: int) -> int:
        await asyncio.sleep(0)
        return value * 2

    functions["double"] = double
    assert _python({"function": "double", "value": 4}) == 8


def test_an_unknown_function_is_left_for_another_worker(functions: dict[str, Any]) -> None:
    with pytest.raises(UnknownStep):
        _python({"function": "elsewhere"})


@pytest.mark.parametrize("extra", [{}, {"first": 1, "third": 3}])
def test_arguments_that_do_not_fit_are_refused_before_the_call(
    functions: dict[str, Any], extra: dict[str, Any]
) -> None:
    called = []
    functions["shop.add"] = lambda first: called.append(first)  # noqa: PLW0108  # its name counts
    with pytest.raises(
        StepError, match=r"step fetch: function shop\.add cannot be called"
    ) as caught:
        _python({"function": "shop.add", **extra})
    assert (caught.value.reason, caught.value.retryable) == ("rejected_input", False)
    assert called == []


def test_a_type_error_inside_the_function_is_its_own_failure(functions: dict[str, Any]) -> None:
    functions["shop.add"] = lambda first: first + "text"
    with pytest.raises(TypeError):
        _python({"function": "shop.add", "first": 1})


@pytest.mark.parametrize("function", [None, 7, ["a"]])
def test_python_needs_a_functions_name(function: object) -> None:
    with pytest.raises(StepError, match="must name a function"):
        _python({"function": function})


def test_a_function_cannot_end_the_worker(functions: dict[str, Any]) -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    functions["exits"] = lambda: sys.exit(3)
    functions["cancels"] = cancels
    with pytest.raises(StepError, match=r"exit\(3\)"):
        _python({"function": "exits"})
    with pytest.raises(StepError, match="cancelled by its own code"):
        _python({"function": "cancels"})


def test_transform_returns_its_value() -> None:
    assert find("transform").run({"value": {"a": [1]}}, _context()) == {"a": [1]}
    assert find("transform").run({"value": None}, _context()) is None


@pytest.mark.parametrize("params", [{}, {"values": 1}, {"value": 1, "more": 2}])
def test_transform_takes_nothing_but_a_value(params: dict[str, Any]) -> None:
    with pytest.raises(StepError, match=r"with\.value") as caught:
        find("transform").run(params, _context())
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("params", "until"),
    [
        ({"for": 1.5}, NOW + 1_500_000),
        ({"for": "90s"}, NOW + 90_000_000),
        ({"for": "1h30m"}, NOW + 5_400_000_000),
        ({"for": 0}, NOW),
        ({"until": "2027-01-15T08:00:01Z"}, NOW + 1_000_000),
        ({"until": "2027-01-15T09:00:00.25+01:00"}, NOW + 250_000),
    ],
)
def test_sleep_parks_until_its_time(params: dict[str, Any], until: int) -> None:
    assert find("sleep").run(params, _context()) == Park(until)


def test_sleep_is_over_when_woken_or_when_its_time_has_passed() -> None:
    assert find("sleep").run({"for": "1d"}, _context(woken=True)) is None
    assert find("sleep").run({"until": "2026-01-01T00:00:00Z"}, _context()) is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"for": 1, "until": "2027-01-15T08:00:01Z"},
        {"for": "soon"},
        {"for": "-1s"},
        {"for": -1},
        {"for": True},
        {"for": float("nan")},
        {"for": "1e9d"},
        {"for": "400d"},
        {"until": "tomorrow"},
        {"until": "9999-12-31T23:59:59-12:00"},
        {"until": "0001-01-01T00:00:00+12:00"},
        {"until": 7},
        {"until": "2027-01-15T08:00:01"},
    ],
)
def test_sleep_refuses_what_means_nothing(params: dict[str, Any]) -> None:
    with pytest.raises(StepError, match="sleep: ") as caught:
        find("sleep").run(params, _context())
    assert (caught.value.reason, caught.value.retryable) == ("rejected_input", False)


def test_durations_add_up_their_parts() -> None:
    assert seconds_of("1d2h3m4s500ms") == 93784.5
    assert seconds_of(7) == 7
