"""What a person typed is read as the schema says, whatever it looks like."""

from __future__ import annotations

from typing import Any

import pytest

from engine.definition import Typed, check_value, read_typed
from engine.errors import InvalidInput
from engine_app.cli.inputs import parse_input

TEXT = {"type": "string"}
NULLABLE = {"anyOf": [TEXT, {"type": "null"}]}
READ: list[tuple[dict[str, Any], str, Any]] = [
    (TEXT, "3.10", "3.10"),
    (TEXT, "3", "3"),
    (TEXT, "true", "true"),
    (TEXT, "null", "null"),
    (TEXT, "", ""),
    (TEXT, "007", "007"),
    (TEXT, "1e5", "1e5"),
    (TEXT, '{"a": 1}', '{"a": 1}'),
    (TEXT, "[1, 2]", "[1, 2]"),
    (TEXT, '"3"', "3"),  # as documents have it
    (TEXT, "12345678901234567890123", "12345678901234567890123"),
    (TEXT, '"half', '"half'),
    (NULLABLE, "3.10", "3.10"),
    (NULLABLE, "null", None),
    (NULLABLE, '"null"', "null"),
    ({"type": ["string", "null"]}, "3.10", "3.10"),
    ({"oneOf": [NULLABLE, {"type": "boolean"}]}, "3.10", "3.10"),
    ({"oneOf": [NULLABLE, {"type": "boolean"}]}, "true", True),
    ({"allOf": [TEXT, {"minLength": 2}]}, "10", "10"),
    ({"$ref": "#/$defs/Name"}, "3.10", "3.10"),
    ({"enum": ["3.10", "3.11"]}, "3.10", "3.10"),
    ({"enum": ["1", "2"]}, "1", "1"),
    ({"enum": ["true", "null"]}, "null", "null"),
    ({"enum": [1, 2]}, "1", 1),
    ({"const": "7"}, "7", "7"),
    ({"type": "string", "format": "date"}, "2026-01-31", "2026-01-31"),
    ({"type": "string", "pattern": "^[0-9]+$"}, "42", "42"),
    ({"type": "integer"}, "3", 3),
    ({"type": "number"}, "3.10", 3.1),
    ({"type": "number"}, " 3 ", 3),
    ({"type": "boolean"}, "true", True),
    ({"type": "array", "items": TEXT}, '["3.10"]', ["3.10"]),
    ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ({"type": ["number", "string"]}, "3.10", 3.1),  # both would fit: as JSON has it
    ({}, "3", 3),
    ({}, "weather", "weather"),
]


def schema_of(wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["other"],
        "properties": {"maybe": wanted, "other": {"type": "integer"}},
        "$defs": {"Name": TEXT},
    }


@pytest.mark.parametrize(("wanted", "text", "value"), READ)
def test_a_value_is_what_its_schema_takes(wanted: dict[str, Any], text: str, value: Any) -> None:
    found = read_typed(schema_of(wanted), parse_input([f"maybe={text}"]))
    assert (found, type(found["maybe"])) == ({"maybe": value}, type(value))


@pytest.mark.parametrize(
    ("wanted", "text", "said"),
    [
        ({"type": "integer"}, "three", "values.maybe: must be a whole number, not a text"),
        ({"type": "integer"}, "3.5", "values.maybe: must be a whole number, not a number"),
        ({"type": "integer", "maximum": 2}, "3", "values.maybe: must be at most 2"),
        (
            {"type": "string", "minLength": 9},
            "3.10",
            "values.maybe: must have at least 9 characters, not 4",
        ),
        ({"enum": ["3.10"]}, "3.12", 'values.maybe: must be one of "3.10"'),
        ({"type": "object"}, "{a: 1}", "values.maybe: must be a mapping, not a text"),
    ],
)
def test_what_does_not_fit_is_told_as_it_was_meant(
    wanted: dict[str, Any], text: str, said: str
) -> None:
    given = {**parse_input([f"maybe={text}"]), "other": 1}
    with pytest.raises(InvalidInput) as caught:
        check_value(schema_of(wanted), given, root="values", wanted_by="the test")
    assert said in str(caught.value.faults[0])


def test_values_that_are_no_typed_text_stay_as_they_are() -> None:
    given = {"maybe": "3", "deep": {"x": Typed("3")}}
    assert read_typed(schema_of({"type": "integer"}), given) == given
    assert read_typed({}, [Typed("3")]) == ["3"]


def test_a_schema_that_leads_nowhere_is_no_fault_of_the_reading() -> None:
    assert read_typed({"$ref": "#/nowhere"}, {"a": Typed("3")}) == {"a": 3}
