"""The run form: from a schema to fields, and from what was typed to an input."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import Fault
from engine_app.states import run_form

SCHEMA = {
    "type": "object",
    "required": ["url", "days"],
    "properties": {
        "url": {"type": "string", "format": "uri", "title": "Address"},
        "days": {"type": "integer", "minimum": 1, "default": 7},
        "share": {"type": ["number", "null"], "maximum": 1},
        "chart": {"type": "boolean", "default": True},
        "unit": {"enum": ["celsius", "kelvin", 3]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def _read(**typed: Any) -> tuple[dict[str, Any], list[Fault]]:
    return run_form.read(run_form.fields(SCHEMA), typed)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("url", "text"),
        ("days", "integer"),
        ("share", "number"),
        ("chart", "boolean"),
        ("unit", "choice"),
        ("tags", "json"),
    ],
)
def test_each_property_becomes_the_field_that_fits_its_type(name: str, kind: str) -> None:
    fields = {field.name: field for field in run_form.fields(SCHEMA)}
    assert fields[name].kind == kind


def test_a_field_says_its_title_its_default_and_its_bounds() -> None:
    url, days, *_ = run_form.fields(SCHEMA)
    assert (url.label, url.input, url.required) == ("Address", "url", True)
    assert (days.value, days.hint, days.required) == ("7", "at least 1", False)


def test_a_schema_without_properties_has_no_fields() -> None:
    assert run_form.fields({"type": "array"}) == []


def test_what_was_typed_becomes_typed_values() -> None:
    value, faults = _read(
        url="https://x.example", days="3", share="0.5", chart="on", unit="kelvin", tags='["a"]'
    )
    assert faults == []
    assert value == {
        "url": "https://x.example",
        "days": 3,
        "share": 0.5,
        "chart": True,
        "unit": "kelvin",
        "tags": ["a"],
    }


def test_an_empty_field_is_left_to_the_schemas_default() -> None:
    value, _ = _read(url="https://x.example")
    assert value == {"url": "https://x.example", "chart": False}


def test_an_option_that_is_not_text_comes_back_as_itself() -> None:
    assert _read(unit="3")[0]["unit"] == 3


def test_every_field_that_cannot_be_read_is_named_at_once() -> None:
    _, faults = _read(days="many", share="half", tags="[")
    assert [fault.path for fault in faults] == ["days", "share", "tags"]


def test_faults_stand_beside_their_fields_and_keep_what_was_typed() -> None:
    faults = [Fault("input.days", "too small"), Fault("", "something else")]
    fields, rest = run_form.filled(run_form.fields(SCHEMA), {"days": "0"}, faults)
    days = next(field for field in fields if field.name == "days")
    assert (days.value, days.wrong) == ("0", "too small")
    assert rest == ["something else"]


def test_text_that_is_not_json_is_a_fault_with_its_place() -> None:
    value, faults = run_form.read_json('{"a": }')
    assert value is None
    assert "line 1" in str(faults[0])


def test_json_with_a_doubled_key_is_a_fault_with_its_path() -> None:
    value, (fault,) = run_form.read_json('{"a": [{"b": 1, "b": 2}]}')
    assert (value, fault.path, fault.problem) == (None, "a[0].b", "stands twice in one object")


def test_the_example_holds_defaults_and_what_is_required() -> None:
    assert run_form.read_json(run_form.example(SCHEMA))[0] == {
        "url": None,
        "days": 7,
        "chart": True,
    }
