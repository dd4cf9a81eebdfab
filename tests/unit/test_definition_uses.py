"""Limits of a step and the step types that wait, call or fail: read, and every fault told."""

from __future__ import annotations

from typing import Any

import pytest

from engine.definition import Tolerance, parse
from engine.errors import Fault, InvalidDocument


def steps(**bodies: Any) -> dict[str, Any]:
    return {"name": "a", "steps": bodies}


def transform(value: Any = 1, **more: Any) -> dict[str, Any]:
    return {"uses": "transform", "with": {"value": value}, **more}


def python(**more: Any) -> dict[str, Any]:
    return {"uses": "python", "with": {"function": "shop.charge"}, **more}


def using(step_type: str, **params: Any) -> dict[str, Any]:
    return steps(a={"uses": step_type, "with": params})


def faults_of(source: Any) -> tuple[Fault, ...]:
    with pytest.raises(InvalidDocument) as caught:
        parse(source)
    return caught.value.faults


def test_limits_are_kept_in_seconds_and_bytes() -> None:
    made = parse(
        steps(
            a=transform([1]),
            b=python(
                isolation="process",
                memory="512MB",
                expires="5m",
                for_each="${{ steps.a.output }}",
                allow_failures="12.5%",
                cache={"key": "${{ item }} ${{ steps.c.output }}", "ttl": "1d"},
            ),
            c=transform(isolation="thread"),
            d=transform(for_each=[1], allow_failures=3),
        )
    )
    a, b, c, d = made.steps
    assert (b.process, b.memory, b.expires) == (True, 512 * 1024**2, 300.0)
    assert (a.process, a.memory, a.expires, a.cache, a.tolerance) == (
        *(False, None, None, None),
        Tolerance(),
    )
    assert not c.process
    assert b.cache is not None
    assert b.cache.ttl == 86400.0
    scope = {"item": 5, "steps": {"c": {"output": "x"}}}
    assert b.cache.key.evaluate(scope) == "5 x"
    assert b.needs == (0, 2)
    assert (b.tolerance, d.tolerance) == (Tolerance(percent=12.5), Tolerance(count=3))


@pytest.mark.parametrize(
    ("tolerance", "failed", "items", "allowed"),
    [
        (Tolerance(), 0, 0, True),
        (Tolerance(), 1, 100, False),
        (Tolerance(count=3), 3, 3, True),
        (Tolerance(count=3), 4, 100, False),
        (Tolerance(percent=10), 10, 100, True),
        (Tolerance(percent=10), 1, 9, False),
        (Tolerance(percent=12.5), 1, 8, True),
        (Tolerance(percent=100), 8, 8, True),
    ],
)
def test_a_tolerance_allows_up_to_its_number_or_share(
    tolerance: Tolerance, failed: int, items: int, allowed: bool
) -> None:
    assert tolerance.allows(failed, items) is allowed


LIMITS: list[tuple[dict[str, Any], str, str, str]] = [
    (transform(expires=0), "expires", "longer than nothing", "without it there is no limit"),
    (transform(expires="8d"), "expires", "at most 7 days", "write 500ms"),
    (transform(isolation="container"), "isolation", "must be thread or process", "thread is"),
    (transform(isolation="process"), "isolation", "only a python step", "remove it"),
    (python(memory="1GB"), "memory", "without isolation: process", "add that"),
    (python(isolation="process", memory="1MB"), "memory", "at least 64MB", "write 512MB"),
    (python(isolation="process", memory=512), "memory", "at least 64MB", "write 512MB"),
    (python(isolation="process", memory="1 TB"), "memory", "at least 64MB", "write 512MB"),
    (transform(cache="1h"), "cache", "must be a mapping, not a text", "write {key: …, ttl: 1h}"),
    (transform(cache={"ttl": "1h"}), "cache.key", "is required", "what makes two results"),
    (transform(cache={"key": 1}), "cache.ttl", "at most 366 days", "write 10m"),
    (transform(cache={"key": 1, "ttl": 0}), "cache.ttl", "longer than nothing", "write 10m"),
    (transform(cache={"key": 1, "ttl": "1h", "tll": 1}), "cache.tll", "not a known key", "'ttl'"),
    (transform(cache={"key": "${{ item }}", "ttl": 1}), "cache.key", "no value here", "for_each"),
    (transform(cache={"key": "${{ 1 + }}", "ttl": 1}), "cache.key", "expected a value", ""),
    (transform(allow_failures=1), "allow_failures", "without for_each", "remove it"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "problem", "hint"), LIMITS)
def test_a_fault_about_a_limit_has_its_path_its_reason_and_a_hint(
    body: dict[str, Any], path: str, problem: str, hint: str
) -> None:
    [fault] = faults_of(steps(a=body))
    assert fault.path == f"steps.a.{path}"
    assert problem in fault.problem
    assert hint in fault.hint


@pytest.mark.parametrize("value", [-1, True, 1.5, "3", "101%", "%", "1e1%", "١%", []])
def test_a_tolerance_is_a_number_of_items_or_a_percentage(value: object) -> None:
    [fault] = faults_of(steps(a=transform(for_each=[1], allow_failures=value)))
    assert fault.path == "steps.a.allow_failures"
    assert (fault.problem, fault.hint) == (
        "must be a number of items or a percentage",
        'write 3 or "10%"',
    )


PERSON = {"type": "object", "properties": {"amount": {"type": "number"}}}
GOOD: list[dict[str, Any]] = [
    using("signal", name="paid"),
    using(
        "signal",
        name="order.paid",
        correlation="${{ execution.id }}",
        schema={"type": "string"},
        deadline="${{ 60 }}",
        look_back=0,
    ),
    using("signal", name="paid", correlation=5, deadline="366d"),
    using("approval", title="Ship it?"),
    using(
        "approval",
        title="Ship ${{ execution.id }}?",
        description="x",
        form=PERSON,
        approvers=["ada"],
        deadline="2d",
    ),
    using("approval", title="Ship it?", approvers="${{ [execution.id] }}", form={}),
    using("workflow", workflow="orders"),
    using("workflow", workflow="orders", input={"a": "${{ execution.id }}"}, version=2),
    using("workflow", workflow="orders", input="${{ {} }}", wait=False, parent_ends="leave"),
    using("actor", actor="shop.charge-card", order=1, currency="EUR"),
    using("fail", message="nothing to do for ${{ execution.id }}"),
]


@pytest.mark.parametrize("source", GOOD, ids=lambda source: source["steps"]["a"]["uses"])
def test_step_types_take_what_they_know(source: dict[str, Any]) -> None:
    [step] = parse(source).steps
    assert step.uses == source["steps"]["a"]["uses"]


BAD: list[tuple[dict[str, Any], str, str, str]] = [
    (using("signal"), ".name", "is required", "as whoever sends it"),
    (using("signal", name="${{ input.x }}"), ".name", "without ${{ }}", "as whoever sends it"),
    (using("signal", name="x" * 64), ".name", "must be a name", "as whoever"),
    (using("signal", name="a", nme=1), ".nme", "not a known key", "'name'"),
    (using("signal", name="a", correlation=["x"]), ".correlation", "text or a whole", "input"),
    (using("signal", name="a", correlation=True), ".correlation", "text or a whole", "input"),
    (using("signal", name="a", deadline=0), ".deadline", "longer than nothing", "write 90s"),
    (using("signal", name="a", deadline="367d"), ".deadline", "at most 366 days", "write 90s"),
    (using("signal", name="a", look_back="x"), ".look_back", "at most 366 days", "write 90s"),
    (using("signal", name="a", schema="x"), ".schema", "must be a mapping", "JSON Schema"),
    (using("signal", name="a", schema={"type": "x"}), ".schema.type", '"x"', "json-schema.org"),
    (using("signal", name="a", schema={"$id": "x"}), '.schema["$id"]', "not supported", "remove"),
    (
        using("signal", name="a", schema={"$ref": "#/$defs/b"}),
        '.schema["$ref"]',
        "leads nowhere",
        "under $defs",
    ),
    (using("approval"), ".title", "is required", "a person shall approve"),
    (using("approval", title=5), ".title", "must be a text, not a number", "shall approve"),
    (using("approval", title="a", description=5), ".description", "must be a text", ""),
    (using("approval", title="a", form=[]), ".form", "must be a mapping", "JSON Schema"),
    (using("approval", title="a", form={"type": "array"}), ".form.type", "must be object", "form"),
    (using("approval", title="a", approvers="ada"), ".approvers", "must be a list", "[ada, grace]"),
    (using("approval", title="a", approvers=[]), ".approvers", "names nobody", "leave it out"),
    (using("approval", title="a", approvers=["b"] * 101), ".approvers", "more than 100", ""),
    (using("approval", title="a", approvers=["b", 5]), ".approvers[1]", "must be a text", "user"),
    (using("approval", title="a", deadline="0s"), ".deadline", "longer than nothing", "90s"),
    (using("workflow"), ".workflow", "is required", "the name of a workflow"),
    (using("workflow", workflow=5), ".workflow", "must be a text", "the name of a workflow"),
    (using("workflow", workflow="b", input=[1]), ".input", "must be a mapping", "{url: …}"),
    (using("workflow", workflow="b", version=0), ".version", "from 1", "the newest"),
    (using("workflow", workflow="b", version=True), ".version", "from 1", "the newest"),
    (using("workflow", workflow="b", wait="no"), ".wait", "true or false", "at once"),
    (using("workflow", workflow="b", parent_ends="x"), ".parent_ends", "cancel or leave", "child"),
    (using("workflow", workflow="b", inputs={}), ".inputs", "not a known key", "'input'"),
    (using("actor", order=1), ".actor", "is required", "as its worker calls it"),
    (using("actor", actor="a b"), ".actor", "must be a name", "as its worker calls it"),
    (using("actor", **{"actor": "a", "b-c": 1}), "", "'b-c' cannot be the name", "letters"),
    (using("fail"), ".message", "is required", "people will read"),
    (using("fail", message=5), ".message", "must be a text", "people will read"),
    (using("fail", message="x", code=1), ".code", "not a known key", ""),
]


@pytest.mark.parametrize(("source", "path", "problem", "hint"), BAD)
def test_a_fault_about_a_step_type_has_its_path_its_reason_and_a_hint(
    source: dict[str, Any], path: str, problem: str, hint: str
) -> None:
    [fault] = faults_of(source)
    assert fault.path == f"steps.a.with{path}"
    assert problem in fault.problem
    assert hint in fault.hint
