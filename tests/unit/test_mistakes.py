"""A mistake is right, or refused with its path and advice when it can first be known."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from engine import registry, step, workflow
from engine.authoring import TracingError
from engine.definition import check_input, parse
from engine.errors import ExpressionError, InvalidDocument, InvalidInput
from engine.expressions import compile
from engine.testing import Harness


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_workflows", {})


def faults_of(**body: Any) -> dict[str, str]:
    """Return the faults of a workflow with one step of this body."""
    used = {"uses": "transform", "with": {"value": 1}, **body}
    with pytest.raises(InvalidDocument) as caught:
        parse({"name": "w", "steps": {"a": used}})
    return {fault.path: f"{fault.problem} ({fault.hint})" for fault in caught.value.faults}


@pytest.mark.parametrize(
    "value",
    [
        {"${{ input.k }}": 1},
        [{"deep": {"a ${{ input.k }} b": 1}}],
        {"${{ input.k }}": "${{ input.v }}"},
    ],
)
def test_an_expression_as_a_key_is_refused(value: Any) -> None:
    [(path, said)] = faults_of(**{"with": {"value": value}}).items()
    assert path.startswith("steps.a.with.value")
    assert "an expression cannot be a key" in said
    assert "${{ {input.key: 1} }}" in said


def test_a_mapping_with_a_computed_key_is_made_by_an_expression() -> None:
    assert compile("${{ {input.key: 1} }}", "p").evaluate({"input": {"key": "k"}}) == {"k": 1}


@pytest.mark.parametrize(
    ("for_each", "said"),
    [
        ({"a": "${{ input.x }}"}, "must be a list or an expression that gives one"),
        ({"a": 1}, "must be a list or an expression that gives one"),
        ("items", "must be a list or an expression that gives one"),
        ("${{ {'a': input.x} }}", "is always of type object, never a list"),
        ("${{ 5 }}", "is always of type number, never a list"),
        ("x ${{ input.x }}", "is always of type string, never a list"),
        ("${{ input.x > 1 }}", "is always of type boolean, never a list"),
    ],
)
def test_what_is_never_a_list_is_refused_in_for_each(for_each: Any, said: str) -> None:
    assert said in faults_of(for_each=for_each)["steps.a.for_each"]


@pytest.mark.parametrize(
    "for_each",
    [
        [1, "${{ input.x }}"], "${{ input.x }}", "${{ [input.x] }}", "${{ input.x + [1] }}",
        "${{ input.x.map(y, y + 1) }}", "${{ input.x ? [1] : [] }}", "${{ input.x.split(',') }}\n",
    ],
)  # fmt: skip
def test_what_may_be_a_list_is_taken_in_for_each(for_each: Any) -> None:
    step = {"uses": "transform", "with": {"value": 1}, "for_each": for_each}
    assert parse({"name": "w", "steps": {"a": step}}).steps[0].for_each is not None


@pytest.mark.parametrize(
    "when",
    ["x ${{ input.x }}", "${{ input.x }} == 1", "${{ 'yes' }}", "${{ [1] }}", {"a": "${{ 1 }}"}],
)
def test_what_is_never_true_or_false_is_refused_in_when(when: Any) -> None:
    assert "steps.a.when" in faults_of(when=when)


def test_constants_and_comparisons_are_taken_in_when() -> None:
    for when in (True, False, "${{ true }}", "${{ input.x > 1 }}", "${{ !has(input.x) }}"):
        step = {"uses": "transform", "with": {"value": 1}, "when": when}
        assert parse({"name": "w", "steps": {"a": step}}).steps[0].when is not None


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("tomorrow", "is no time"),
        (7, "is no time"),
        ("2027-01-31T08:00:00", "has no zone"),
        ("9999-12-31T23:59:59-12:00", "is out of the calendar's range in UTC"),
    ],
)
def test_a_sleep_until_what_is_no_time_is_refused(until: Any, said: str) -> None:
    found = faults_of(uses="sleep", **{"with": {"until": until}})
    assert found == {"steps.a.with.until": f"{said} (write 2027-01-31T08:00:00Z or …+01:00)"}


# --- in Python -----------------------------------------------------------------------------------


@step
def double(x: Any) -> Any:
    return x


def test_a_condition_that_was_decided_while_tracing_is_refused() -> None:
    def body(x: int) -> Any:
        return double.when(x is not None)(x)

    with pytest.raises(TracingError, match=r"when\(\) is given True, not a condition") as caught:
        workflow(body)
    assert "x != None" in caught.value.hint
    assert double.when(True)(4) == 4


def test_names_of_any_alphabet_can_be_traced() -> None:
    @workflow
    def grown(größe: Any, null: Any) -> Any:  # noqa: PLC2401  # what it is about
        sizes = null.map(lambda für: für.größe)  # noqa: PLC2401  # likewise
        return {"a": double(größe + 1), "b": sizes}

    found = grown.definition.output
    assert found is not None
    scope = {"input": {"größe": 4, "null": [{"größe": 2}]}, "steps": {"double": {"output": 5}}}
    assert found.evaluate(scope) == {"a": 5, "b": [2]}
    assert grown.definition.steps[0].params.evaluate(scope)["x"] == 5


def test_a_loop_over_what_has_a_meaning_already_can_be_traced() -> None:
    @workflow
    def looped(rows: Any) -> Any:
        return double(rows.map(lambda input: input + 1))

    assert looped.definition.steps[0].params.evaluate({"input": {"rows": [1]}})["x"] == [2]


class _Called:
    def __call__(self, x: int) -> int:
        return x

    def method(self, x: int) -> int:
        return x

    @staticmethod
    def static(x: int) -> int:
        return x


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (functools.partial(max, 1), "a name that a worker can find, which type partial has not"),
        (lambda x: x, "a name that a worker can find, which a lambda has not"),
        (_Called(), "a name that a worker can find, which type _Called has not"),
        (_Called.method, "_Called.method is a method: a worker has no object to call it on"),
        (classmethod(lambda cls: cls), "is a function, not of type classmethod"),
        (max, "needs arguments that have names, which max has not"),
        (5, "is a function, not of type int"),
    ],
)
def test_what_a_worker_cannot_call_is_no_step_and_no_workflow(function: Any, said: str) -> None:
    make: Callable[[Any], Any]
    for make in (step, workflow):
        with pytest.raises(TracingError, match=r"test_mistakes\.py:\d+: ") as caught:
            make(function)
        assert said in str(caught.value)
        assert caught.value.hint


def test_static_and_bound_methods_are_steps() -> None:
    assert step(_Called.static)(4) == 4
    assert step(_Called().method)(4) == 4


@step(attempts=5, timeout="1m", cache_ttl="1h")
def careful(x: int) -> int:
    return x


def test_options_of_a_function_that_a_document_leaves_out_are_told_of(
    harness: Harness,
) -> None:
    name = f"{__name__}.careful"
    bare = {"uses": "python", "with": {"function": name, "x": 1}}
    execution = harness.run({"name": "w", "steps": {"a": bare, "b": {**bare, "timeout": "2m"}}})
    told = {log.step: log.message for log in execution.logs}
    assert told["a"].startswith(
        "cache, retry, timeout of @step hold in workflows written in Python"
    )
    assert told["b"].startswith("cache, retry of @step hold in workflows written in Python")


# --- in expressions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('double("1e400")', "beyond what a double holds"),
        ('double("-1e400") < 1', "beyond what a double holds"),
        ('duration("99999999999999999999h")', "the duration is over 292 years"),
        ('duration("-2562048h")', "the duration is over 292 years"),
        ('duration("1h") < duration("9999999999h")', "the duration is over 292 years"),
    ],
)
def test_a_number_or_duration_that_cannot_be_held_is_refused(source: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        compile(f"${{{{ {source} }}}}", "p").evaluate({})


def test_the_longest_duration_is_what_it_says() -> None:
    assert compile("${{ duration('2562047h') }}", "p").evaluate({}) == 2562047 * 3600
    assert compile("${{ duration('-1.5h') }}", "p").evaluate({}) == -5400


@pytest.mark.parametrize(
    "body",
    [
        {"with": {"value": {"${{ input.k }}": 1}}},
        {"for_each": {"a": "${{ input.a }}"}},
        {"for_each": "${{ {'a': 1} }}"},
        {"when": "${{ 1 }}"},
        {"when": ["${{ input.a }}"]},
    ],
)
def test_what_was_stored_by_an_earlier_release_is_still_read(body: dict[str, Any]) -> None:
    used = {"uses": "transform", "with": {"value": 1}, **body}
    document = {"name": "w", "steps": {"a": used}}
    with pytest.raises(InvalidDocument):
        parse(document)
    assert parse(document, stored=True).steps[0].name == "a"


def test_a_stored_schema_that_this_release_would_refuse_is_still_read() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/gone"}, "b": {"type": "strung"}}}
    steps = {"a": {"uses": "transform", "with": {"value": 1}}}
    definition = parse({"name": "w", "input": schema, "steps": steps}, stored=True)
    with pytest.raises(InvalidInput):
        check_input(definition, {"a": 1, "b": 2})
