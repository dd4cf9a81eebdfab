"""Forms: every kind of value that a schema can name arrives as it was chosen."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Fault
from engine_app import forms
from engine_app.forms import Field
from engine_app.forms.reading import MEANING, browsers
from engine_app.states.execution_picked import answered

DEFS = {"$defs": {"Unit": {"enum": ["m", "ft"]}, "Rate": {"type": "number", "minimum": 0}}}
# Each kind of rule, with values that fit it, the awkward ones first.
KINDS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "text": ({"type": "string"}, ["", " ", "a\r\nb\rc\nd", "null", "1", '"', "é\u2028"]),
    "text or null": ({"type": ["string", "null"]}, [None, "", "null", "a"]),
    "optional of pydantic": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, [None, "", "a"]),
    "password": ({"type": "string", "format": "password"}, ["", "s e\ncret", "••••"]),
    "date": ({"type": "string", "format": "date"}, ["2026-02-28", "tomorrow"]),
    "date-time": (
        {"type": "string", "format": "date-time"},
        ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00.123456789+05:30", "2026-01-01 12:00:00Z"],
    ),
    "time": ({"type": "string", "format": "time"}, ["12:00:00Z"]),
    "uri": ({"type": "string", "format": "uri"}, ["https://bücher.example/?q=1"]),
    "email": ({"type": "string", "format": "email"}, ["ada@bücher.example"]),
    "a format of one's own": ({"type": "string", "format": "sql"}, ["select 1\nfrom t"]),
    "integer": ({"type": "integer"}, [3544790567247868102, -1, 0, -(2**63)]),
    "integer or null": ({"type": ["null", "integer"]}, [None, 0]),
    "number": ({"type": "number"}, [3544790567247868102, 0.1, -1e-300, 1e300, 0, 2.0]),
    "integer or number": ({"type": ["integer", "number"]}, [1, 1.5]),
    "boolean": ({"type": "boolean"}, [True, False]),
    "boolean or null": ({"type": ["boolean", "null"]}, [None, True, False]),
    "null": ({"type": "null"}, [None]),
    "choice of versions": ({"enum": ["3.10", "3.11"]}, ["3.10", "3.11"]),
    "choice of digits": ({"enum": ["1", "2", 1, 1.5, True]}, ["1", "2", 1, 1.5, True]),
    "choice of words": ({"enum": ["true", "null", None, ""]}, ["true", "null", None, ""]),
    "choice of objects": ({"enum": [{"a": 1}, [1], {}]}, [{"a": 1}, [1], {}]),
    "choice or null": ({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}, ["a", None]),
    "choice with titles": ({"oneOf": [{"const": 1, "title": "one"}, {"const": "1"}]}, [1, "1"]),
    "constant": ({"const": "only"}, ["only"]),
    "by reference": ({"$ref": "#/$defs/Unit"}, ["m", "ft"]),
    "by reference with more": ({"allOf": [{"$ref": "#/$defs/Rate"}], "title": "Rate"}, [0, 0.5]),
    "list": ({"type": "array", "items": {"type": "string"}}, [[], ["a\nb"], [None, 1e300]]),
    "object": ({"type": "object"}, [{}, {"a": {"b": [2**63 - 1]}}]),
    "object or null": ({"anyOf": [{"type": "object"}, {"type": "null"}]}, [None, {"a": 1}]),
    "text or number": ({"type": ["string", "integer"]}, ["1", 1, ""]),
    "anything": ({}, [None, True, 1, "1", [1], {"a": None}]),
    "secrets within": (
        {"type": "object", "properties": {"key": {"type": "string", "format": "password"}}},
        [{"key": "s3cret"}, {"key": "", "more": "x"}],
    ),
}
CASES = [(name, value) for name, (_, values) in KINDS.items() for value in values]


def browser(shown: list[Field]) -> dict[str, Any]:
    """Return what a browser sends of a form that nobody touched."""
    typed: dict[str, Any] = {}
    for field in shown:
        if field.kind == "boolean":
            typed |= {field.key: "on"} if field.checked else {}
            continue
        typed[field.key] = browsers(field.value, field.kind)
        if field.empties:
            typed[field.key + MEANING] = field.empty
    return typed


def _schema(rule: Any, *, required: bool = False, **more: Any) -> dict[str, Any]:
    rule = {**rule, **more} if more else rule
    needed = {"required": ["x"]} if required else {}
    return {"type": "object", "properties": {"x": rule}, **needed, **DEFS}


def _same(one: Any, other: Any) -> bool:
    """Return whether they are the same JSON: to Python ``1 == True``."""
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_an_untouched_form_sends_exactly_its_defaults(kind: str, value: Any) -> None:
    rule, _ = KINDS[kind]
    for required in (True, False):
        shown = forms.form(_schema(rule, default=value, required=required))
        sent, faults = forms.read(shown, browser(shown))
        assert faults == []
        assert _same(sent, {"x": value})


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_every_kind_of_value_arrives_as_it_was_chosen(kind: str, value: Any) -> None:
    rule, _ = KINDS[kind]
    for required in (True, False):
        schema = _schema(rule, required=required)
        shown, faults = forms.to_form(schema, {"x": value})
        assert faults == []
        sent, faults = forms.read(shown, browser(shown))
        assert faults == []
        assert _same(sent, {"x": value})


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_nothing_is_lost_from_a_form_to_json_and_back(kind: str, value: Any) -> None:
    schema = _schema(KINDS[kind][0])
    shown, _ = forms.to_form(schema, {"x": value})
    text, original = forms.to_json(schema, shown, browser(shown))
    back, faults = forms.read_json(text, original)
    assert faults == []
    assert _same(back, {"x": value})


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_chosen_is_not_sent(kind: str) -> None:
    shown = forms.form(_schema(KINDS[kind][0]))
    assert forms.read(shown, browser(shown)) == ({}, [])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_required_is_empty_first_and_asked_for(kind: str) -> None:
    rule, _ = KINDS[kind]
    shown = forms.form(_schema(rule, required=True))
    sent, faults = forms.read(shown, browser(shown))
    meaning = shown[0].empty
    if meaning:  # an empty field of this kind stands for a value, and says so
        assert (sent, faults) == ({"x": None if meaning == "null" else ""}, [])
    else:
        assert [fault.path for fault in faults] == ["x"]


TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(TEXT, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TEXT), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)  # of this machine, not of the code
@given(st.lists(JSON, min_size=1, max_size=4), st.data())
def test_any_values_may_be_options_or_defaults(options: list[Any], data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(options))
    for rule in ({"enum": options}, {"default": chosen}, {"enum": options, "default": chosen}):
        schema = _schema(rule)
        shown = forms.form(schema) if "default" in rule else forms.to_form(schema, {"x": chosen})[0]
        sent, faults = forms.read(shown, browser(shown))
        assert faults == []
        assert _same(sent, {"x": chosen})


@settings(deadline=None)  # of this machine, not of the code
@given(st.text(TEXT), st.sampled_from(["text", "password"]))
def test_any_text_is_kept_as_a_default_and_as_typed(text: str, kind: str) -> None:
    rule = {"type": "string", **({"format": kind} if kind == "password" else {})}
    shown = forms.form(_schema(rule, default=text))
    assert forms.read(shown, browser(shown)) == ({"x": text}, [])
    typed = browsers(text, kind)
    shown = forms.form(_schema(rule, default="another"))
    assert forms.read(shown, {"f0": typed}) == ({"x": typed}, [])


def _typed(rule: dict[str, Any], text: str, meaning: str = "") -> Any:
    sent, faults = forms.read(
        forms.form(_schema(rule)), {"f0": text, **({"f0" + MEANING: meaning} if meaning else {})}
    )
    return faults[0].problem if faults else sent.get("x", "absent")


@pytest.mark.parametrize(
    ("rule", "text", "meaning", "sent"),
    [
        ({"type": "string", "default": "x"}, "", "", ""),
        ({"type": ["string", "null"]}, "", "null", None),
        ({"type": ["string", "null"]}, "", "empty", ""),
        ({"type": ["string", "null"]}, "", "absent", "absent"),
        ({"type": "string"}, "", "empty", ""),
        ({"type": "string"}, "", "", "absent"),
        ({"type": ["integer", "null"], "default": 3}, "", "", None),
        ({"type": "integer"}, " 12 ", "", 12),
        ({"type": "number"}, "3544790567247868102", "", 3544790567247868102),
        ({"type": "string", "format": "date-time"}, "2026-01-01T12:00Z", "", "2026-01-01T12:00Z"),
    ],
)
def test_what_an_emptied_field_means_is_what_it_says(
    rule: dict[str, Any], text: str, meaning: str, sent: Any
) -> None:
    assert _same(_typed(rule, text, meaning), sent)


@pytest.mark.parametrize(
    ("rule", "text", "problem"),
    [
        ({"type": "integer", "default": 7}, "", "it is empty: give a whole number; the default"),
        ({"type": "integer"}, "1.5", "give a whole number"),
        ({"type": "integer"}, "1_000", "give a whole number"),
        ({"type": "integer"}, "٣", "give a whole number"),
        ({"type": "number"}, "nan", "give a number"),
        ({"type": "number"}, "1,5", "give a number"),
        ({"type": "number"}, "1e999", "the number is too large"),
        ({"type": "integer"}, "9" * 5000, "a number has at most 4,000 digits"),
        ({"type": "array"}, "[NaN]", 'give JSON, e.g. "text", [1, 2] or {"a": 1}'),
        ({"type": "string", "format": "date-time"}, "2026-01-01T12:00", "add its zone"),
        ({"enum": ["a"]}, "7", "choose one"),
        ({"type": "integer"}, str(2**70), "it is an integer beyond 64 bits"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_beside_its_field(
    rule: dict[str, Any], text: str, problem: str
) -> None:
    assert str(_typed(rule, text)).startswith(problem)


def test_a_meaning_that_the_field_does_not_offer_is_none() -> None:
    assert _typed({"type": "integer", "default": 7}, "", "null").startswith("it is empty")


def test_a_required_property_that_is_described_nowhere_has_a_field() -> None:
    shown = forms.form({"properties": {"a": {"type": "string"}}, "required": ["b"]})
    assert [(field.name, field.kind, field.required) for field in shown] == [
        ("a", "text", False),
        ("b", "json", True),
    ]


def test_properties_may_be_called_anything() -> None:
    names = ["engine:key", "f0", "a b", "", "__proto__", 'x"y']
    schema = {"properties": {name: {"type": "string"} for name in names}}
    shown = forms.form(schema)
    typed = {field.key: f"value of {field.name}" for field in shown}
    assert forms.read(shown, typed)[0] == {name: f"value of {name}" for name in names}
    faults = [
        Fault('input["a b"]', "no"),
        Fault("input.f0[0]", "neither"),
        Fault("input", "at all"),
    ]
    fields, rest = forms.filled(shown, typed, faults)
    assert {field.name: field.wrong for field in fields if field.wrong} == {
        "a b": "no",
        "f0": "neither",
    }
    assert rest == ["input: at all"]


def test_a_field_says_its_title_its_default_and_its_bounds() -> None:
    rule = {
        "type": "integer",
        "minimum": 1,
        "default": 7,
        "title": "Days",
        "description": "How many",
    }
    [field] = forms.form(_schema(rule, description="How many"))
    assert (field.label, field.value, field.required) == ("Days", "7", False)
    assert field.hint == "How many · at least 1"


def test_options_that_could_be_taken_for_another_are_in_quotes() -> None:
    [field] = forms.form(_schema({"enum": ["1", 1, ""]}, required=True))
    assert [option.label for option in field.options] == ["– choose –", '"1"', "1", '""']


def test_a_refused_form_keeps_what_was_typed_and_what_it_means() -> None:
    shown = forms.form(_schema({"type": ["string", "null"], "default": "a\r\nb"}))
    same, _ = forms.filled(shown, browser(shown), [Fault("x", "no")])
    assert forms.read(same, browser(same))[0] == {"x": "a\r\nb"}
    other, _ = forms.filled(shown, {"f0": "", "f0" + MEANING: "null"}, [])
    assert forms.read(other, browser(other))[0] == {"x": None}


def test_json_that_the_form_cannot_show_is_told_and_stays() -> None:
    schema = _schema({"type": "integer"})
    assert forms.to_form(schema, {"x": "soon"})[1] == []  # as if it was typed: it is refused there
    for value in ({"x": 1, "y": 2}, {"x": "5"}, {"x": [1]}, [1], None):
        assert forms.to_form(schema, value)[1] != []


def test_what_cannot_be_read_is_in_the_json_as_text() -> None:
    schema = _schema({"type": "integer", "default": 1})
    shown = forms.form(schema)
    text, _ = forms.to_json(schema, shown, {"f0": "soon"})
    assert json.loads(text) == {"x": "soon"}


SECRET = {
    "type": "object",
    "properties": {
        "key": {"type": "string", "format": "password"},
        "all": {"type": "array", "items": {"$ref": "#/$defs/Login"}},
        "maybe": {"anyOf": [{"type": "string", "format": "password"}, {"type": "null"}]},
    },
    "additionalProperties": {"type": "string", "format": "password"},
    "$defs": {"Login": {"properties": {"pin": {"type": "string", "format": "password"}, "of": {}}}},
}


def test_secrets_are_masked_wherever_a_schema_names_them_and_put_back() -> None:
    value = {"key": "a", "all": [{"pin": "b", "of": "c"}], "maybe": "d", "more": "e", "none": ""}
    shown = forms.masked(SECRET, value, SECRET)
    assert shown == {
        "key": forms.MASK,
        "all": [{"pin": forms.MASK, "of": "c"}],
        "maybe": forms.MASK,
        "more": forms.MASK,
        "none": "",
    }
    assert forms.unmasked(shown, value) == (value, [])


def test_a_mask_that_stands_for_no_secret_is_refused() -> None:
    value, [fault] = forms.read_json(json.dumps({"all": [{"pin": forms.MASK}]}), {"all": []})
    assert (value, fault.path) == (None, "all[0].pin")


def test_a_schema_that_goes_in_a_circle_ends() -> None:
    circle = {"properties": {"x": {"$ref": "#/properties/x"}, "y": {"$ref": "#"}}}
    assert [field.kind for field in forms.form(circle)] == ["json", "json"]
    assert forms.masked({"$ref": "#"}, {"a": 1}, {"$ref": "#"}) == {"a": 1}


def test_what_was_answered_by_a_form_is_shown_without_its_secrets() -> None:
    form = {"properties": {"key": {"type": "string", "format": "password"}}}
    for uses, asked, output, shown in (
        ("approval", {"form": form}, {"values": {"key": "a"}}, {"values": {"key": forms.MASK}}),
        ("signal", {"schema": form}, {"key": "a"}, {"key": forms.MASK}),
        ("signal", {}, {"key": "a"}, {"key": "a"}),
        ("python", {"form": form}, {"values": {"key": "a"}}, {"values": {"key": "a"}}),
        ("approval", {"form": form}, None, None),
    ):
        values: Any = SimpleNamespace(input=asked, output=output)
        assert answered(uses, values) == shown
