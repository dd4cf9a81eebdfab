"""A document costs linear time, and what costs too much is refused by the name of its limit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.definition import parse, parse_text
from engine.errors import Fault, InvalidDocument
from engine.expressions import did_you_mean

SECONDS = 10.0  # of the processor; what is measured takes about one on a quiet machine


def faults_of(document: Any) -> tuple[Fault, ...]:
    """Return the faults of a document, which are found soon."""
    began = time.process_time()
    with pytest.raises(InvalidDocument) as caught:
        parse(document)
    assert time.process_time() - began < SECONDS
    return caught.value.faults


def steps(**bodies: Any) -> dict[str, Any]:
    return {"name": "w", "steps": bodies}


def valued(value: Any) -> dict[str, Any]:
    return steps(a={"uses": "transform", "with": {"value": value}})


def test_two_thousand_wrong_references_have_a_hundred_faults() -> None:
    wrong = {f"step{n}": {"uses": "fail", "with": {"message": "m"}, "needs": [f"stop{n}"]}
             for n in range(2_000)}  # fmt: skip
    found = faults_of(steps(**wrong))
    assert len(found) == 100
    assert found[7].path == "steps.step7.needs[0]"
    assert "did you mean" in found[7].hint


def test_wrong_names_in_expressions_have_a_hundred_faults() -> None:
    names = [f"${{{{ steps.t{n}.output }}}}" for n in range(5_000)]
    properties: dict[str, Any] = {f"property_{n}": {} for n in range(20_000)}
    inputs = [f"${{{{ input.propperty_{n} }}}}" for n in range(5_000)]
    assert len(faults_of(valued(names))) == 100
    assert len(faults_of({**valued(inputs), "input": {"properties": properties}})) == 100


@pytest.mark.parametrize(
    "value",
    [
        [f"${{{{ input.a + {n} }}}}" for n in range(50_000)],
        "${{ input.a }}" * 80_000,
        ["${{ " + "-1 + " * 800 + "1 }}"] * 1_000,
    ],
    ids=["50,000 expressions", "80,000 references in one text", "long ones"],
)
def test_too_many_expressions_are_refused_by_the_limit(value: Any) -> None:
    [fault] = faults_of(valued(value))
    assert fault.path == "steps.a.with"
    assert "over 200,000 characters in all" in fault.problem


@pytest.mark.parametrize(
    "value",
    [
        ["${{ 1 + }}"] * 50_000,
        "${{ " + "{" * 2_000_000 + " }}",
        "${{ '" + "a" * 2_000_000,
        ["${{"] * 100_000,
        "$${{ " * 500_000 + "${{",
    ],
    ids=["wrong ones", "brackets", "an open quote", "never closed", "escaped ones"],
)
def test_wrong_expressions_are_found_wrong_soon(value: Any) -> None:
    assert 1 <= len(faults_of(valued(value))) <= 100


def test_a_fault_repeats_no_more_than_the_start_of_a_long_name() -> None:
    found = faults_of({"name": "w", "steps": {"a": {"uses": "x" * 1_000_000}}, "y" * 1_000_000: 1})
    assert all(len(str(fault)) < 2_000 for fault in found)


def test_long_durations_and_sizes_are_read_soon() -> None:
    body = {"uses": "python", "with": {"function": "a.b"}, "isolation": "process"}
    long = [
        ("timeout", "1" * 1_000_000),
        ("timeout", "1m" * 500_000 + "x"),
        ("timeout", "9" * 400 + "d"),
        ("memory", "1" * 1_000_000 + "MB"),
    ]
    for key, value in long:
        [fault] = faults_of(steps(a={**body, key: value}))
        assert fault.path == f"steps.a.{key}"


def test_the_name_that_was_meant_is_found_among_many() -> None:
    names = [f"step_{n}" for n in range(1_500)]
    began = time.process_time()
    assert did_you_mean("stepp_1234", names) == "did you mean 'step_1234'?"
    assert did_you_mean("x" * 1_000_000, names) == ""
    assert did_you_mean("ab", ["c" * 1_000_000]) == ""
    assert time.process_time() - began < 1


def test_a_text_of_yaml_may_hold_a_long_word() -> None:
    step = "{uses: fail, with: {message: " + "x" * 10**6 + "}}"
    definition = parse_text(f"name: w\nsteps: {{a: {step}}}")
    assert len(definition.steps[0].params.evaluate({})["message"]) == 10**6
