"""Documents: read whole, every fault named with its path, hostile ones refused in time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.definition import (
    RetryPolicy,
    check_input,
    content_hash,
    parse,
    parse_text,
    seconds,
)
from engine.errors import InvalidDocument, InvalidInput, TooLarge

ORDERS = """
name: orders
input:
  type: object
  required: [url]
  properties:
    url: {type: string, format: uri}
    limit: {type: integer, default: 3, minimum: 1}
    code: {type: string, pattern: "^[A-Z]+$"}
defaults:
  retry: {attempts: 2, on: [error]}
  timeout: 2m
steps:
  fetch:
    uses: http
    with: {method: GET, url: "${{ input.url }}"}
    retry: {attempts: 4, backoff: 500ms, factor: 3, max: 1h, jitter: false}
    timeout: 30s
  clean:
    uses: python
    with: {function: shop.orders.clean, order: "${{ item }}", at: "${{ index }}"}
    for_each: "${{ steps.fetch.output.body }}"
    max_parallel: 20
    queue: default
  wait: {uses: sleep, with: {for: 90}, needs: [fetch]}
  total:
    uses: transform
    when: "${{ size(steps.clean.output) > 0 }}"
    with: {value: "${{ steps.clean.output.map(o, o.amount) }}"}
    needs: [wait, clean]
output: "${{ steps.total.output }}"
"""


def document(**parts: Any) -> dict[str, Any]:
    return {"name": "a", "steps": {"one": {"uses": "transform", "with": {"value": 1}}}, **parts}


def steps(**bodies: Any) -> dict[str, Any]:
    return {"name": "a", "steps": bodies}


def transform(value: Any = 1, **more: Any) -> dict[str, Any]:
    return {"uses": "transform", "with": {"value": value}, **more}


def faults_of(source: Any) -> dict[str, str]:
    with pytest.raises(InvalidDocument) as caught:
        parse(source)
    return {fault.path: f"{fault.problem} ({fault.hint})" for fault in caught.value.faults}


def test_a_document_becomes_a_graph_with_policies() -> None:
    orders = parse_text(ORDERS)
    assert (orders.name, orders.title, orders.description) == ("orders", "Orders", "")
    fetch, clean, wait, total = orders.steps
    assert [step.index for step in orders.steps] == [0, 1, 2, 3]
    assert (fetch.needs, clean.needs, wait.needs, total.needs) == ((), (0,), (0,), (1, 2))
    assert (fetch.dependants, clean.dependants) == ((1, 2), (3,))
    assert fetch.retry == RetryPolicy(4, 0.5, 3.0, 3600.0, False, frozenset({"error"}))
    assert clean.retry == RetryPolicy(attempts=2, on=frozenset({"error"}))
    assert (fetch.timeout, clean.timeout) == (30.0, 120.0)
    assert (fetch.queue, clean.queue, wait.queue) == ("steps", "steps", "steps.long")
    assert (clean.max_parallel, fetch.max_parallel) == (20, 256)
    assert clean.params.evaluate({"item": 5, "index": 0})["order"] == 5
    assert orders.step("wait") is wait
    assert orders.sinks == (total,)
    assert orders.output is not None
    with pytest.raises(KeyError):
        orders.step("nope")


def test_json_and_yaml_and_key_order_give_the_same_hash_but_step_order_counts() -> None:
    orders = parse_text(ORDERS)
    again = parse_text(json.dumps(orders.document))
    assert again == orders
    turned = dict(reversed(orders.document.items()))
    assert content_hash(parse(turned).document) == content_hash(orders.document)
    other = {**orders.document, "steps": dict(reversed(orders.document["steps"].items()))}
    assert content_hash(other) != content_hash(orders.document)
    assert len(content_hash(orders.document)) == 64


def test_every_fault_is_told_at_once_with_its_path_and_a_hint() -> None:
    found = faults_of(
        {
            "nme": "x",
            "input": {"type": "objekt", "properties": {"a": {"type": 5}}},
            "defaults": {"retry": {"attempt": 3, "backoff": "soon"}, "timeout": 0},
            "steps": {
                "A b": {"uses": "pyton"},
                "b": {"uses": "python", "with": {"functon": "x"}, "needs": ["c", "nope"]},
                "c": {
                    "uses": "http",
                    "with": {"method": "GOT", "urls": "x", "json": 1, "body": "x"},
                    "retry": {"attempts": 0, "on": ["err"], "factor": 0, "jitter": 1},
                },
                "d": {"uses": "sleep", "with": {"for": "soon"}, "when": "steps.b.output"},
                "e": transform("${{ item }} ${{ input.x }}", for_each="text", max_parallel=0),
                "f": 5,
                "g": {"uses": "transform", "with": {}, "queue": "fast", "tiemout": "1s"},
            },
            "output": "${{ steps.bb.output }} ${{ 1 + }}",
        }
    )
    wanted = {
        "nme": "did you mean 'name'",
        "name": "required",
        "input.type": "objekt",
        "input.properties.a.type": "5",
        "defaults.retry.attempt": "did you mean 'attempts'",
        "defaults.retry.backoff": "duration",
        "defaults.timeout": "longer than nothing",
        "steps.A b": "no name for a step",
        "steps[0].uses": "did you mean 'python'",
        "steps.b.with.function": "required",
        "steps.b.needs[1]": "no step 'nope'",
        "steps.c.with.method": "no method",
        "steps.c.with.urls": "did you mean 'url'",
        "steps.c.with.url": "required",
        "steps.c.with": "both json and body",
        "steps.c.retry.attempts": "1 to 1000",
        "steps.c.retry.on": "error and timeout",
        "steps.c.retry.factor": "1 to 100",
        "steps.c.retry.jitter": "true or false",
        "steps.d.with.for": "duration",
        "steps.d.when": "write ${{ steps.b.output }}",
        "steps.e.for_each": "list or an expression",
        "steps.e.max_parallel": "1 to 20000",
        "steps.f": "must be a mapping",
        "steps.g.with.value": "required",
        "steps.g.queue": "default or long",
        "steps.g.tiemout": "did you mean 'timeout'",
        "output": "expected a value",
    }
    assert {path for path in wanted if path not in found} == set()
    assert {path for path, said in wanted.items() if said not in found[path]} == set()


@pytest.mark.parametrize(
    ("source", "path", "said"),
    [
        (5, "", "must be a mapping, not a number"),
        (None, "", "must be a mapping"),
        ({"name": "a"}, "steps", "at least one step"),
        (document(steps=[]), "steps", "at least one step"),
        (document(steps=[{"uses": "http"}]), "steps", "must be a mapping, not a list"),
        (document(name="Orders"), "name", "must be a slug"),
        (document(name="a" * 64), "name", "must be a slug"),
        (document(name="a_b"), "name", "must be a slug"),
        (document(name="weather2024ab"), "name", "looks like an id"),
        (document(title=5), "title", "must be a text"),
        (document(description="x" * 10_001), "description", "over 10000"),
        (document(concurrency={}), "concurrency", "not a known key"),
        (document(input=[]), "input", "must be a mapping"),
        (document(input={"type": "array"}), "input.type", "must be object"),
        (document(input={"properties": {"a": {"$ref": "http://x"}}}), None, "stay inside"),
        (document(input={"properties": {"a": {"$ref": "#/$defs/x"}}}), None, "leads nowhere"),
        (document(input={"$ref": "#"}), "input", "go in a circle"),
        (document(input={"properties": {"a": {"pattern": "("}}}), None, "matches()"),
        (document(input={"patternProperties": {"^a": {}}}), None, "not supported"),
        (document(output="${{ steps.two.output }}"), "output", "no step 'two'"),
        (document(output="${{ steps.one.outptu }}"), "output", "did you mean 'output'"),
        (document(output="${{ execution.idd }}"), "output", "did you mean 'id'"),
        (document(output="${{ item }}"), "output", "'item' has no value here"),
        (steps(a=transform("${{ steps.a.output }}")), "steps.a", "a → a"),
        (steps(a=transform(needs=["a"])), "steps.a", "a → a"),
        (
            steps(
                a=transform("${{ steps.b.output }}"),
                b=transform(when="${{ size(steps.c.output) > 0 }}"),
                c=transform(for_each="${{ steps.a.output }}"),
                d=transform("${{ steps.a.output }}"),
            ),
            "steps.a",
            "waits for itself: a → b → c → a",
        ),
        (steps(a=transform(when="${{ item }}", for_each=[1])), "steps.a.when", "no value here"),
        (steps(a=transform("${{ index }}")), "steps.a.with.value", "no value here"),
        (steps(a=transform(max_parallel=3)), "steps.a.max_parallel", "without for_each"),
        (steps(a=transform(for_each=[1] * 20_001)), "steps.a.for_each", "over 20000"),
        (steps(a=transform(uses=["http"])), "steps.a.uses", "no step type"),
        (steps(a={"with": {}}), "steps.a.uses", "is required"),
        (steps(a={"uses": "python", "with": {"function": "f"}}), "steps.a.with.function", "must"),
        (steps(a={"uses": "http", "with": {"url": "ftp://x"}}), "steps.a.with.url", "https://"),
        (steps(a={"uses": "sleep", "with": {}}), "steps.a.with", "exactly one"),
        (steps(a={"uses": "sleep", "with": {"for": "1s", "until": "x"}}), "steps.a.with", "one of"),
        (steps(a=transform(timeout="8d")), "steps.a.timeout", "at most 7 days"),
        (steps(a=transform(timeout=float("nan"))), "", "nan"),
        (steps(a=transform(retry=3)), "steps.a.retry", "write {attempts: 3}"),
        (steps(a=transform(needs="b")), "steps.a.needs", "write [a, b]"),
        (
            document(input={"properties": {"url": {}}}, output="${{ input.ulr }}"),
            "output",
            "did you mean 'url'",
        ),
    ],
)  # fmt: skip
def test_a_fault_has_its_path_and_its_reason(source: Any, path: str | None, said: str) -> None:
    found = faults_of(source)
    if path is not None:
        assert list(found) == [path]
    assert said in " ".join(found.values())


def test_an_unknown_function_is_no_fault_for_another_worker_may_know_it() -> None:
    parse(steps(a={"uses": "python", "with": {"function": "not.installed.here", "x": 1}}))


def test_an_open_schema_may_be_asked_for_anything() -> None:
    for schema in (
        {},
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]},
    ):
        parse({"name": "a", "input": schema, "steps": {"a": transform("${{ input.b }}")}})


def test_ten_thousand_steps_in_a_chain_are_read_within_three_seconds() -> None:
    chain = {f"s{n}": transform(f"${{{{ steps.s{n - 1}.output }}}}") for n in range(1, 10_000)}
    source = {"name": "chain", "steps": {"s0": transform(), **chain}}
    started = time.thread_time()
    definition = parse(source)
    assert time.thread_time() - started < 3
    assert definition.steps[-1].needs == (9_998,)
    source["steps"]["s0"] = transform("${{ steps.s9999.output }}")  # type: ignore[index]
    assert "s0 → s9999 → s9998" in faults_of(source)["steps.s0"]


def test_over_twenty_thousand_steps_are_refused() -> None:
    source = {"name": "a", "steps": {f"s{n}": transform() for n in range(20_001)}}
    assert "over the limit of 20000" in faults_of(source)["steps"]


def test_a_thousand_faults_are_cut_to_a_hundred() -> None:
    assert len(faults_of({"name": "a", "steps": {f"s{n}": 5 for n in range(1000)}})) == 100


LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{name}: &{name} [{', '.join(['*' + chr(ord(name) - 1)] * 9)}]" for name in "bcdefghij"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "the key 'a' is given twice"),
        ('{"a": 1, "a": 2}', "the key 'a' is given twice"),
        ("{a: 1, a: 2}", "the key 'a' is given twice"),
        ("a: [1", "not YAML in line"),
        ("a: &x [*x]", "the value 'x' holds itself"),
        (LAUGHS, "has over 250,000 values"),
        ("a: " + "[" * 100 + "]" * 100, "deeper than 64"),
        ("[" * 100_000, "deeper than 64"),
        ('{"a":' * 100_000, "deeper than 64"),
        ("a: !!python/object/apply:os.system [ls]", "the tag !!python/object"),
        ("a: \x01", "not YAML"),
        ("", "must be a mapping"),
        ("just text", "must be a mapping"),
        ('{"name": "a\\u0000"}', "NUL"),
    ],
)
def test_hostile_text_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_text(text)
    assert said in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_text_over_its_limit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        parse_text("x" * 101, limit=100)
    with pytest.raises(TooLarge):
        parse_text("é" * 51, limit=100)


def test_yaml_words_are_words() -> None:
    text = "name: a\ntitle: 1:30\nsteps: {on: {uses: transform, with: {value: [yes, 2024-01-01]}}}"
    with pytest.raises(InvalidDocument, match="must be a text") as caught:
        parse_text(text.replace("1:30", "130"))
    assert caught.value.faults[0].path == "title"
    definition = parse_text(text)
    assert definition.title == "1:30"
    assert definition.step("on").params.evaluate({}) == {"value": ["yes", "2024-01-01"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5), ("30s", 30), ("2m", 120), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172800),
        (5, 5), (0.5, 0.5), ("5", None), ("", None), (-1, None), (True, None), (None, None),
        ("1s ", None), ("-1s", None), (float("inf"), None), ("١s", None), ([], None),
    ],
)  # fmt: skip
def test_durations(text: object, expected: float | None) -> None:
    assert seconds(text) == expected


def test_an_input_gets_its_defaults_and_keeps_its_own() -> None:
    assert check_input(parse_text(ORDERS), {"url": "https://x"}) == {"limit": 3, "url": "https://x"}
    assert check_input(parse_text(ORDERS), {"url": "https://x", "limit": 5})["limit"] == 5
    assert check_input(parse(document()), None) == {}


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (None, ["input.url"]),
        ({"limit": 0}, ["input.url", "input.limit"]),
        ({"url": 5, "limit": "x", "code": "a"}, ["input.url", "input.limit", "input.code"]),
        ({"url": "no address"}, ["input.url"]),
        ([], ["input"]),
    ],
)
def test_an_input_that_does_not_fit_is_refused_with_every_fault(
    value: Any, paths: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_input(parse_text(ORDERS), value)
    assert [fault.path for fault in caught.value.faults] == paths


def test_an_input_over_a_megabyte_or_not_json_is_refused() -> None:
    with pytest.raises(TooLarge):
        check_input(parse(document()), {"a": "x" * 1_000_001})
    with pytest.raises(InvalidInput, match=r"input\.a is nan"):
        check_input(parse(document()), {"a": float("nan")})


def test_a_hostile_pattern_holds_no_thread() -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    definition = parse(document(input=schema))
    started = time.thread_time()
    with pytest.raises(InvalidInput):
        check_input(definition, {"a": "a" * 5_000 + "!"})
    assert time.thread_time() - started < 2


def test_a_schema_that_goes_in_a_circle_only_for_some_inputs_is_an_error_not_a_crash() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    definition = parse(
        document(input={"properties": {"head": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}})
    )
    value: dict[str, Any] = {}
    for _ in range(60):
        value = {"next": value}
    assert check_input(definition, {"head": value}) == {"head": value}


words = st.sampled_from(
    ["name", "steps", "uses", "with", "when", "for_each", "needs", "retry", "input", "output", "a"]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words
    | st.sampled_from(["${{ a }}", "${{ steps.a.output }}", "http", "python", "sleep"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=25,
)  # fmt: skip


@settings(derandomize=True, max_examples=150)
@given(st.fixed_dictionaries({"name": junk, "steps": st.dictionaries(words, junk, max_size=3)}))
def test_any_value_is_either_a_workflow_or_refused_with_faults(source: Any) -> None:
    try:
        definition = parse(source)
    except InvalidDocument as error:
        named = bool(error.faults)
    else:
        named = parse(definition.document) == definition
    assert named


@settings(derandomize=True, max_examples=200)
@given(st.text(max_size=80))
def test_any_text_is_either_a_workflow_or_refused(text: str) -> None:
    with pytest.raises(InvalidDocument):
        parse_text(text)
