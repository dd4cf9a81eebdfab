"""What a document says about ends: handlers, compensations, finally steps, and their order."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.definition import Definition, OnFailure, parse, parse_text
from engine.errors import Fault, InvalidDocument

SAGA = """
name: saga
timeout: 30d
steps:
  reserve: {uses: transform, with: {value: 1}, compensate: release}
  charge:
    uses: transform
    with: {value: "${{ steps.reserve.output }}"}
    compensate: refund
    on_failure: {run: alert}
  ship: {uses: transform, with: {value: "${{ steps.charge.output }}"}, on_failure: continue}
  alert: {uses: transform, with: {value: "${{ steps.charge.error.message }}"}}
  release: {uses: transform, with: {value: "${{ steps.reserve.output }}"}}
  refund: {uses: transform, with: {value: "${{ steps.charge.output }}"}}
  tidy: {uses: transform, with: {value: "${{ execution.outcome }} ${{ execution.error }}"}}
  report: {uses: transform, with: {value: "${{ steps.tidy.output }}"}}
finally: [tidy, report]
"""


def steps(finally_: Any = None, **bodies: Any) -> dict[str, Any]:
    source: dict[str, Any] = {"name": "a", "steps": bodies}
    return source if finally_ is None else source | {"finally": finally_}


def transform(value: Any = 1, **more: Any) -> dict[str, Any]:
    return {"uses": "transform", "with": {"value": value}, **more}


def faults_of(source: Any) -> tuple[Fault, ...]:
    with pytest.raises(InvalidDocument) as caught:
        parse(source)
    return caught.value.faults


def needs(definition: Definition) -> dict[str, list[str]]:
    names = [step.name for step in definition.steps]
    return {step.name: [names[need] for need in step.needs] for step in definition.steps}


def test_each_step_knows_its_role() -> None:
    saga = parse_text(SAGA)
    assert saga.timeout == 30 * 86400
    assert [step.name for step in saga.closing] == ["release", "refund", "tidy", "report"]
    reserve, charge, ship = saga.steps[:3]
    assert [step.on_failure for step in (reserve, charge, ship)] == [
        OnFailure.FAIL,
        OnFailure.RUN,
        OnFailure.CONTINUE,
    ]
    assert saga.step("alert").handles == (charge.index,)
    assert saga.step("release").compensates == reserve.index
    assert saga.step("refund").compensates == charge.index
    assert saga.sinks == (ship,)


def test_handlers_wait_for_whom_they_serve_and_the_end_for_its_own_kind_only() -> None:
    assert needs(parse_text(SAGA)) == {
        "reserve": [],
        "charge": ["reserve"],
        "ship": ["charge"],
        "alert": ["charge"],
        "release": ["refund"],
        "refund": [],
        "tidy": ["release", "refund"],
        "report": ["release", "refund", "tidy"],
    }


def test_compensations_go_in_reverse_across_steps_that_have_none() -> None:
    made = parse(
        steps(
            a=transform(compensate="undo_a"),
            b=transform(needs=["a"]),
            left=transform(needs=["b"], compensate="undo_left"),
            right=transform(needs=["b"], compensate="undo_right"),
            c=transform(needs=["left", "right"]),
            d=transform(needs=["c"], compensate="undo_d"),
            undo_a=transform(),
            undo_left=transform(),
            undo_right=transform(),
            undo_d=transform(),
        )
    )
    found = needs(made)
    assert found["undo_a"] == ["undo_left", "undo_right"]
    assert found["undo_left"] == found["undo_right"] == ["undo_d"]
    assert found["undo_d"] == []


def test_one_handler_may_serve_several_steps_and_be_handled_itself() -> None:
    made = parse(
        steps(
            a=transform(on_failure={"run": "mend"}),
            b=transform(on_failure={"run": "mend"}),
            mend=transform(on_failure={"run": "alert"}),
            alert=transform("${{ steps.mend.error }}"),
        )
    )
    assert made.step("mend").handles == (0, 1)
    assert needs(made)["alert"] == ["mend"]
    assert [step.name for step in made.sinks] == ["a", "b"]


def test_a_step_at_the_end_may_ask_all_the_others_without_waiting_for_them() -> None:
    made = parse(
        steps(["tidy"], a=transform(), tidy=transform("${{ steps.a.status }}", needs=["a"]))
    )
    assert needs(made) == {"a": [], "tidy": []}


ONE_FAULT: list[tuple[dict[str, Any], str, str, str]] = [
    (steps(a=transform(on_failure="stop")), "steps.a.on_failure", "must be fail, continue", "fail"),
    (steps(a=transform(on_failure={"run": "b", "x": 1})), "steps.a.on_failure", "must be", "fail"),
    (steps(a=transform(on_failure=[])), "steps.a.on_failure", "must be fail, continue", "fail"),
    (
        steps(a=transform(on_failure={"run": "alrt"}), alert=transform()),
        "steps.a.on_failure.run",
        "there is no step 'alrt'",
        "did you mean 'alert'",
    ),
    (
        steps(a=transform(on_failure={"run": "a"})),
        "steps.a.on_failure.run",
        "is the step itself",
        "name another step",
    ),
    (
        steps(a=transform(on_failure={"run": "b"}), b=transform(), c=transform(needs=["d"])),
        "steps.c.needs[0]",
        "there is no step 'd'",
        "",
    ),
    (
        steps(a=transform(needs=["b"], on_failure={"run": "b"}), b=transform()),
        "steps.a",
        "waits for itself: a → b → a",
        "cannot use what comes after",
    ),
    (
        steps(a=transform(compensate="und"), undo=transform()),
        "steps.a.compensate",
        "there is no step 'und'",
        "did you mean 'undo'",
    ),
    (
        steps(a=transform(compensate=["undo"]), undo=transform()),
        "steps.a.compensate",
        "there is no step ['undo']",
        "",
    ),
    (
        steps(a=transform(compensate="u"), b=transform(compensate="u"), u=transform()),
        "steps.b.compensate",
        "'u' undoes another step already",
        "a step for each",
    ),
    (
        steps(a=transform(compensate="u"), u=transform(compensate="v"), v=transform()),
        "steps.u.compensate",
        "means nothing",
        "steps that ran before the end",
    ),
    (
        steps(a=transform(compensate="u"), u=transform(), b=transform(needs=["u"])),
        "steps.b",
        "needs 'u', which runs only when all the others are over",
        "finally",
    ),
    (
        steps(["t"], t=transform(), b=transform("${{ steps.t.output }}")),
        "steps.b",
        "needs 't', which runs only when all the others are over",
        "finally",
    ),
    (
        steps(
            a=transform(compensate="u", on_failure={"run": "u"}),
            u=transform(),
        ),
        "steps.u",
        "handles a failure and runs at the end",
        "write two steps",
    ),
    (
        steps(["u"], a=transform(compensate="u"), u=transform()),
        "steps.u",
        "is a compensation and a finally step",
        "write two steps",
    ),
    (
        steps(["t"], a=transform(), t=transform(on_failure={"run": "h"}), h=transform()),
        "steps.t.on_failure",
        "a step that runs at the end has no handler",
        "write continue",
    ),
    (
        steps(["t", "r"], a=transform(), t=transform(needs=["r"]), r=transform(needs=["t"])),
        "steps.t",
        "waits for itself: t → r → t",
        "comes after",
    ),
    (steps("t", a=transform()), "finally", "must be a list, not a text", "[cleanup, notify]"),
    (steps(["b"], a=transform()), "finally[0]", "there is no step 'b'", ""),
    (steps(["t", "t"], a=transform(), t=transform()), "finally[1]", "'t' is there twice", "one"),
    (steps(["a"], a=transform()), "finally", "leaves no step to run before the end", "take one"),
    (
        steps(a=transform("${{ execution.outcome }}")),
        "steps.a.with.value",
        "'execution.outcome' has no value before the end",
        "steps.NAME.error",
    ),
    (
        steps(a=transform(when="${{ execution.error == null }}")),
        "steps.a.when",
        "'execution.error' has no value before the end",
        "finally",
    ),
    (
        {**steps(a=transform()), "output": "${{ execution.outcome }}"},
        "output",
        "'execution.outcome' has no value before the end",
        "finally",
    ),
    (steps(a=transform("${{ steps.a.eror }}")), "steps.a.with.value", "no 'eror'", "'error'"),
    ({**steps(a=transform()), "timeout": "367d"}, "timeout", "at most 366 days", "write 30m"),
    ({**steps(a=transform()), "timeout": 0}, "timeout", "longer than nothing", "no limit"),
    ({**steps(a=transform()), "timeout": "soon"}, "timeout", "must be a duration", "write 30m"),
]


@pytest.mark.parametrize(("source", "path", "problem", "hint"), ONE_FAULT)
def test_a_fault_about_ends_has_its_path_its_reason_and_a_hint(
    source: dict[str, Any], path: str, problem: str, hint: str
) -> None:
    [fault] = faults_of(source)
    assert fault.path == path
    assert problem in fault.problem
    assert hint in fault.hint


def test_faults_about_ends_are_told_together_with_all_the_others() -> None:
    found = faults_of(
        steps(
            ["nope"],
            a=transform(on_failure="stop", timeout="soon"),
            b=transform(compensate="c", needs=["d"]),
        )
    )
    assert {fault.path for fault in found} == {
        "finally[0]",
        "steps.a.on_failure",
        "steps.a.timeout",
        "steps.b.compensate",
        "steps.b.needs[0]",
    }


def hub(marked: int) -> dict[str, Any]:
    """Return a document in which ``marked`` steps meet in one and part again."""
    before = {f"a{n}": transform(compensate=f"ua{n}") for n in range(marked)}
    after = {f"b{n}": transform(needs=["hub"], compensate=f"ub{n}") for n in range(marked)}
    undo = {f"u{name}": transform() for name in (*before, *after)}
    return steps(**before, hub=transform(needs=list(before)), **after, **undo)


def test_compensations_that_all_wait_for_each_other_are_refused_in_time() -> None:
    started = time.thread_time()
    [fault] = faults_of(hub(1_000))
    assert time.thread_time() - started < 2
    assert (fault.path, "1000000 pairs" in fault.problem) == ("steps", True)
    assert parse(hub(100)).step("ua7").needs == tuple(range(301, 401))


def test_many_compensations_before_a_long_chain_are_ordered_in_time() -> None:
    first = {f"a{n}": transform(compensate=f"u{n}") for n in range(2_000)}
    chain = {f"c{n}": transform(needs=[f"c{n - 1}"]) for n in range(1, 4_000)}
    last = {"z": transform(needs=["c3999"], compensate="uz"), "uz": transform()}
    undo = {f"u{n}": transform() for n in range(2_000)}
    started = time.thread_time()
    made = parse(steps(**first, c0=transform(needs=list(first)), **chain, **last, **undo))
    assert time.thread_time() - started < 2
    assert made.step("u1999").needs == (made.step("uz").index,)


names = st.sampled_from(["a", "b", "c", "d", "e"])
roles = st.fixed_dictionaries(
    {},
    optional={
        "on_failure": st.sampled_from(["fail", "continue"]) | names.map(lambda name: {"run": name}),
        "compensate": names,
        "needs": st.lists(names, max_size=2, unique=True),
    },
)


@settings(derandomize=True, max_examples=400)
@given(st.dictionaries(names, roles, min_size=2), st.lists(names, max_size=2))
def test_any_roles_are_either_refused_or_a_graph_in_two_phases(
    bodies: dict[str, dict[str, Any]], last: list[str]
) -> None:
    try:
        made = parse(steps(last, **{name: transform(**body) for name, body in bodies.items()}))
    except InvalidDocument:
        return
    closing = {step.index for step in made.closing}
    assert len(closing) < len(made.steps)
    for step in made.steps:
        assert {need in closing for need in step.needs} <= {step.index in closing}
        assert all(step.index in made.steps[need].dependants for need in step.needs)
        assert not (step.handles and step.closing)
        for served in step.handles:
            assert served in step.needs
    over: set[int] = set()
    while ready := {
        step.index for step in made.steps if step.index not in over and {*step.needs} <= over
    }:
        over |= ready
    assert len(over) == len(made.steps)
