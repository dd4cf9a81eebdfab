"""A form of any schema that can be published is made soon, and hides what it cannot follow."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine.definition import parse
from engine_app.forms import MASK, masked
from engine_app.forms.fields import MAX_FIELDS, fields

STEPS = {"a": {"uses": "fail", "with": {"message": "m"}}}
LIST = {"type": "array", "items": {"$ref": "#/$defs/n"}}
CHOICES = {"anyOf": [LIST, {**LIST}, {"format": "password", "type": "string"}]}


def nested(levels: int, inside: Any) -> Any:
    for _ in range(levels):
        inside = [inside]
    return inside


SCHEMAS: dict[str, Any] = {
    "20,000 properties": {
        "properties": {f"p{n}": {"type": "string"} for n in range(20_000)},
        "required": [f"p{n}" for n in range(20_000)],
    },
    "an enum of 100,000": {"properties": {"a": {"enum": [f"v{n}" for n in range(100_000)]}}},
    "many long selections": {
        "properties": {f"p{n}": {"$ref": "#/$defs/x"} for n in range(MAX_FIELDS)},
        "$defs": {"x": {"anyOf": [{"const": n} for n in range(9_000)]}},
    },
    "secrets behind references": {
        "properties": {f"p{n}": {"properties": {"a": {"$ref": "#/$defs/x"}}} for n in range(190)},
        "$defs": {"x": {"format": "password"}, **{f"y{n}": {} for n in range(50_000)}},
    },
    "secrets in choices inside choices": {
        "properties": {"a": {"$ref": "#/$defs/n", "default": nested(55, "x")}},
        "$defs": {"n": CHOICES},
    },
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_form_is_made_soon(kind: str) -> None:
    parse({"name": "w", "input": SCHEMAS[kind], "steps": STEPS})
    began = time.process_time()
    assert len(fields(SCHEMAS[kind])) <= MAX_FIELDS
    assert time.process_time() - began < 10


def test_of_what_cannot_be_followed_every_text_is_masked() -> None:
    schema = {"$ref": "#/$defs/n", "$defs": {"n": CHOICES}}
    began = time.process_time()
    assert masked(schema, nested(60, {"a": "secret", "b": 1}), schema) == nested(
        60, {"a": MASK, "b": 1}
    )
    assert time.process_time() - began < 10
