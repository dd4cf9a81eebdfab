"""Schemas of inputs: the same answers as another implementation gives, in words of our own."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from engine.definition import check_input, check_value, parse
from engine.definition.faults import Faults
from engine.definition.json_schema import Tree, check, fitted
from engine.errors import InvalidDocument, InvalidInput
from engine.expressions import BUDGET

STEPS = {"a": {"uses": "fail", "with": {"message": "m"}}}
WORKFLOW = parse({"name": "w", "steps": STEPS})


def refused(schema: Any, value: Any) -> InvalidInput:
    """Return the refusal of ``value``."""
    with pytest.raises(InvalidInput) as caught:
        taken(schema, value)
    return caught.value


def told(schema: Any, value: Any) -> list[str]:
    return [str(fault) for fault in refused(schema, value).faults]


def taken(schema: Any, value: Any) -> Any:
    return check_input(replace(WORKFLOW, input_schema=schema), value)


def faults_of(schema: Any) -> dict[str, str]:
    source = {"name": "w", "input": schema, "steps": STEPS}
    with pytest.raises(InvalidDocument) as caught:
        parse(source)
    return {fault.path: f"{fault.problem} {fault.hint}" for fault in caught.value.faults}


# --- the same answers as the library's -----------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
scalars = st.sampled_from(
    [None, True, False, 0, 1, 1.0, 2, -1, 2.5, 10, "", "a", "ab", "2027-01-31"]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
small = st.integers(0, 3)
asserting = st.one_of(
    st.fixed_dictionaries({"type": types | st.lists(types, min_size=1, max_size=3, unique=True)}),
    st.fixed_dictionaries({"enum": st.lists(values, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"const": values}),
    st.dictionaries(st.sampled_from(["minimum", "maximum", "exclusiveMinimum"]), small, max_size=2),
    st.dictionaries(st.sampled_from(["minLength", "maxLength", "minItems"]), small, max_size=2),
    st.dictionaries(st.sampled_from(["maxItems", "maxProperties"]), small, max_size=2),
    st.fixed_dictionaries({"multipleOf": st.sampled_from([1, 2, 5])}),
    st.fixed_dictionaries({"pattern": st.sampled_from(["a", "^b", "b$"])}),
    st.fixed_dictionaries({"format": st.just("date")}),
    st.fixed_dictionaries({"uniqueItems": st.booleans()}),
    st.fixed_dictionaries({"required": st.lists(names, max_size=2, unique=True)}),
    st.fixed_dictionaries({"dependentRequired": st.just({"a": ["b"]})}),
    st.fixed_dictionaries({"$ref": st.sampled_from(["#/$defs/text", "#list", "#/$defs/tree"])}),
)
STRICT = {"unevaluatedProperties": False, "unevaluatedItems": False}


def beside(inner: Any) -> Any:
    """Return what may stand beside ``unevaluatedProperties``."""
    properties = st.dictionaries(names, inner, max_size=2)
    items = st.lists(inner, min_size=1, max_size=2)
    return st.fixed_dictionaries({}, optional={"properties": properties, "prefixItems": items})


schemas = st.recursive(
    st.booleans() | asserting,
    lambda inner: st.one_of(
        st.builds(lambda one, two: one | two, asserting, asserting),
        st.dictionaries(
            st.sampled_from(["items", "contains", "not", "additionalProperties", "propertyNames"]),
            inner,
            min_size=1,
            max_size=2,
        ),
        st.dictionaries(
            st.sampled_from(["allOf", "anyOf", "oneOf", "prefixItems"]),
            st.lists(inner, min_size=1, max_size=3),
            min_size=1,
            max_size=2,
        ),
        st.fixed_dictionaries(
            {"properties": st.dictionaries(names, inner, max_size=2)},
            optional={
                "additionalProperties": inner,
                "dependentSchemas": st.fixed_dictionaries({"a": inner}),
            },
        ),
        st.fixed_dictionaries({"if": inner}, optional={"then": inner, "else": inner}),
        st.builds(lambda part, more: {"allOf": [part]} | STRICT | more, inner, beside(inner)),
        st.fixed_dictionaries({"contains": inner, "minContains": small, "maxContains": small}),
    ),
    max_leaves=8,
)  # fmt: skip
DEFS = {
    "text": {"type": "string"},
    "list": {"$anchor": "list", "type": "array", "items": {"type": "integer"}},
    "tree": {"properties": {"a": {"$ref": "#/$defs/tree"}}, "additionalProperties": False},
}


@settings(derandomize=True, max_examples=150, deadline=None)
@given(schemas, values)
def test_a_value_fits_exactly_when_the_library_says_so(schema: Any, value: Any) -> None:
    whole = {"$defs": DEFS, "allOf": [schema]}
    library = Draft202012Validator(whole, format_checker=FormatChecker(("date",)))
    _, faults = fitted(Tree(whole), value, "input", BUDGET)
    assert library.is_valid(value) is (not faults), faults


@settings(derandomize=True, max_examples=60, deadline=None)
@given(schemas)
def test_a_schema_without_fault_for_the_library_has_none_here(schema: Any) -> None:
    whole = {"$defs": DEFS, "allOf": [schema]}
    Draft202012Validator.check_schema(whole)
    faults = Faults()
    check(whole, faults, "input")
    assert [str(fault) for fault in faults.found] == []


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"type": "string"}, 3.1, "input: must be a text, not a number"),
        ({"type": ["string", "null"]}, 5, "input: must be a text or null, not a whole number"),
        ({"type": "integer"}, True, "input: must be a whole number, not true or false"),
        ({"enum": ["fast", "slow"]}, "fats", 'input: must be one of "fast", "slow" (did you mean'),
        ({"const": 1}, True, "input: must be 1"),
        ({"required": ["a b"]}, {}, 'input["a b"]: is required'),
        ({"minimum": 3}, 2, "input: must be at least 3"),
        ({"minLength": 1}, "", "input: must have at least 1 character, not 0"),
        ({"maxItems": 2}, [1, 2, 3], "input: must have at most 2 entries, not 3"),
        ({"multipleOf": 0.1}, 0.35, "input: must be a multiple of 0.1"),
        ({"uniqueItems": True}, [{"a": 1}, 2, {"a": 1.0}], "input: has equal entries, at 0 and 2"),
        ({"properties": {"limit": {}}, "additionalProperties": False}, {"limt": 1},
         "input.limt: is not a known property (did you mean 'limit'?)"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
         "2027-01-31T08:00:00", "input: has no time zone (write 2027-01-31T08:00:00Z, or +01:00"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5,
         "input: fits none of 2 choices: must be a text, not a whole number; must be null, not"),
        ({"anyOf": [{"type": "null"}, {"properties": {"a": {"type": "null"}}}]}, {"a": 1},
         "input.a: must be null, not a whole number"),
        ({"oneOf": [{}, {"type": "integer"}]}, 5, "input: fits 2 of 2 choices, and must fit only"),
        ({"format": "date-time"}, "yesterday", "input: must be a date and time (write 2027-01-31T"),
        ({"format": "date"}, "20270131", "input: must be a date (write 2027-01-31)"),
        ({"format": "time"}, "25:00", "input: must be a time of day"),
        ({"format": "uuid"}, "x", "input: must be a UUID"),
        ({"format": "ipv6"}, "192.0.2.1", "input: must be an IP address (write 2001:db8::1)"),
        ({"format": "email"}, "ada", "input: must be an email address"),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1},
         "input.ab: as a name must have at most 1 character, not 2"),
        ({"contains": {"const": 1}}, [],
         'input: must have at least 1 entries that fit {"const":1}, not 0'),
        ({"not": {"type": "integer"}}, 5, 'input: must not fit {"type":"integer"}'),
        ({"properties": {"a": False}}, {"a": 1}, "input.a: must not be there"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_words(schema: Any, value: Any, said: str) -> None:
    [fault] = told(schema, value)
    assert fault.startswith(said)


@pytest.mark.parametrize(
    ("schema", "path", "said"),
    [
        ({"properties": {"a": {"type": "strin"}}}, "input.properties.a.type", "mean 'string'"),
        ({"properties": []}, "input.properties", "must be a mapping from names to schemas"),
        ({"properties": {"a": 5}}, "input.properties.a", "must be a schema"),
        ({"items": [{}]}, "input.items", "must be a schema"),
        ({"anyOf": []}, "input.anyOf", "at least one schema"),
        ({"minLength": -1}, "input.minLength", "a whole number from 0"),
        ({"multipleOf": 0}, "input.multipleOf", "a number above 0"),
        ({"required": "a"}, "input.required", "a list of texts"),
        ({"required": ["a", "a"]}, "input.required", "twice"),
        ({"enum": 5}, "input.enum", "must be a list"),
        ({"$ref": "http://x"}, 'input["$ref"]', "stay inside the document"),
        ({"$ref": "#/$defs/a"}, 'input["$ref"]', "leads nowhere"),
        ({"$ref": "#"}, "input", "go in a circle"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, 'input["$defs"].a', "circle"),
        ({"patternProperties": {}}, "input.patternProperties", "not supported"),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, "input.properties.a.pattern", "matches()"),
        ({"type": "array"}, "input.type", "must be object"),
    ],
)  # fmt: skip
def test_a_schema_at_fault_is_refused_with_the_path(schema: Any, path: str, said: str) -> None:
    found = faults_of(schema)
    assert list(found) == [path]
    assert said in found[path]


# --- defaults and whole numbers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "becomes"),
    [
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {"a": {}}, {"a": {"b": 1}}),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {}, {}),
        ({"properties": {"a": {"default": {}, "properties": {"b": {"default": 1}}}}}, {},
         {"a": {"b": 1}}),
        ({"properties": {"a": {"$ref": "#/$defs/a"}},
          "$defs": {"a": {"properties": {"b": {"default": 2}}}}}, {"a": {}}, {"a": {"b": 2}}),
        ({"items": {"properties": {"b": {"default": []}}}}, [{}, {"b": [1]}],
         [{"b": []}, {"b": [1]}]),
        ({"additionalProperties": {"properties": {"b": {"default": 1}}}}, {"x": {}},
         {"x": {"b": 1}}),
        ({"anyOf": [{"type": "null"}, {"properties": {"b": {"default": 1}}}]}, {}, {"b": 1}),
        ({"properties": {"a": {"default": None}}}, {"a": 0}, {"a": 0}),
        ({"type": "integer"}, 1.0, 1),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 3.0, 3),
        ({"properties": {"n": {"type": "integer"}}}, {"n": -2.0}, {"n": -2}),
        ({"items": {"type": "integer"}}, [1.0, 2], [1, 2]),
        ({"type": "number"}, 1.0, 1.0),
        ({"type": ["integer", "string"]}, 1.0, 1),
        ({"type": ["integer", "number"]}, 1.0, 1.0),
    ],
)  # fmt: skip
def test_a_value_is_completed_by_its_schema(schema: Any, value: Any, becomes: Any) -> None:
    found = taken(schema, value)
    assert found == becomes
    assert repr(found) == repr(becomes)


def test_a_default_that_is_filled_in_does_not_change_the_schema() -> None:
    schema = {"properties": {"a": {"default": {}, "properties": {"b": {"default": 1}}}}}
    assert taken(schema, {}) == taken(schema, {}) == {"a": {"b": 1}}
    assert schema["properties"]["a"]["default"] == {}


def test_defaults_without_end_are_refused_when_published() -> None:
    part = {"default": {}, "$ref": "#/$defs/n"}
    found = faults_of({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"a": part}}}})
    assert "its defaults have no end" in found["input"]


# --- what it may cost ----------------------------------------------------------------------------

LIST = {"type": "array", "items": {"$ref": "#/$defs/n"}}
TREE = {"oneOf": [LIST, {**LIST}, {"type": "integer"}]}


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _doubling(keyword: str) -> dict[str, Any]:
    defs: dict[str, Any] = {"d0": {"type": "string"}}
    for number in range(1, 17):
        below = {"$ref": f"#/$defs/d{number - 1}"}
        defs[f"d{number}"] = {keyword: [{**below, "title": "a"}, {**below, "title": "b"}]}
    return {"properties": {"a": {"$ref": "#/$defs/d16"}}, "$defs": defs}


COSTLY_SCHEMAS = {
    "references that double, allOf": _doubling("allOf"),
    "references that double, anyOf": _doubling("anyOf"),
    "costly patterns": {
        "properties": {f"p{n}": {"pattern": f"(a{{1,30}}){{1,30}}{n}"} for n in range(2_000)}
    },
    "20,000 wrong types": {"properties": {f"p{n}": {"type": "strin"} for n in range(20_000)}},
    "defaults that double": {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{n}": {"properties": {name: {"default": {}, "$ref": f"#/$defs/d{n + 1}"}
                  for name in "ab"}} for n in range(24)} | {"d24": {}},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", COSTLY_SCHEMAS)
def test_a_schema_that_costs_too_much_is_refused(kind: str) -> None:
    began = time.process_time()
    assert 0 < len(faults_of(COSTLY_SCHEMAS[kind])) <= 100
    assert time.process_time() - began < 10


COSTLY_VALUES: dict[str, tuple[Any, Any]] = {
    "choices inside choices": ({"$ref": "#/$defs/n", "$defs": {"n": TREE}}, _nested(40)),
    "many choices": ({"items": {"anyOf": [{"const": n} for n in range(1_000)]}}, [-1] * 5_000),
    "patterns": ({"items": {"pattern": "(a|b)*c{1,90}"}}, ["ab" * 100] * 2_000),
    "a long list": ({"items": {"allOf": [{"minimum": 0}, {"maximum": 9}]}}, [1] * 400_000),
}


@pytest.mark.parametrize("kind", COSTLY_VALUES)
def test_a_value_that_costs_too_much_is_refused_by_the_limit(kind: str) -> None:
    began = time.process_time()
    said = refused(*COSTLY_VALUES[kind])
    assert "the check of the input for workflow 'w' takes over 2,000,000 steps" in said.message
    assert time.process_time() - began < 10


LARGE: dict[str, tuple[Any, Any]] = {
    "6,000 mixed entries, unique": ({"uniqueItems": True},
                                    [{"a": n} if n % 2 else [n] for n in range(6_000)]),
    "an enum of 10,000": ({"items": {"enum": [f"v{n}" for n in range(10_000)]}}, ["v9999"] * 3_000),
    "100,000 numbers": ({"items": {"type": "integer"}}, list(range(100_000))),
    "a million characters": ({"pattern": "a+$"}, "a" * 900_000),
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_value_is_checked_in_linear_time(kind: str) -> None:
    schema, value = LARGE[kind]
    began = time.process_time()
    assert taken(schema, value) == value
    assert time.process_time() - began < 10


def test_a_large_value_that_fits_nowhere_has_a_hundred_faults() -> None:
    began = time.process_time()
    assert len(told({"items": {"type": "string"}}, list(range(100_000)))) == 100
    assert time.process_time() - began < 10


def test_a_schema_made_by_an_expression_is_refused_where_it_is_wrong() -> None:
    assert "minLength must be a whole number from 0" in refused({"minLength": "3"}, "abc").message
    assert "a pattern" in refused({"pattern": "a" * 300}, "abc").message


def test_a_body_or_a_form_has_less_time_than_an_input() -> None:
    schema = {"items": {"type": "integer"}}
    with pytest.raises(InvalidInput, match="the check of the body for a signal takes over 500,000"):
        check_value(schema, [1] * 100_000, root="body", wanted_by="a signal")
    assert check_value(schema, [1.0], root="body", wanted_by="a signal") == [1]
