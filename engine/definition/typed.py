"""Text that a person typed for a property, where only the schema knows what it stands for. Pure.

``version=3.10`` is a text where the schema wants one, and a number where it wants that.
"""

from __future__ import annotations

from typing import Any

from engine.codec import decode
from engine.definition import json_schema
from engine.errors import ExpressionError, PayloadError
from engine.expressions import OverBudget

_UNITS = 500_000  # of work for one reading
_ABOUT_TYPES = ("type", "anyOf", "oneOf")


class Typed(str):
    """A property's value as it was typed: JSON or text, whichever its schema takes."""

    __slots__ = ()


def read_typed(schema: dict[str, Any], value: Any) -> Any:
    """Return an object with each ``Typed`` text in it read as the schema says, others as they are.

    Args:
        schema: a JSON Schema; ``{}`` takes anything.
        value: what is to be checked.
    """
    if not isinstance(value, dict):
        return value
    return {
        name: _read(schema, name, part) if isinstance(part, Typed) else part
        for name, part in value.items()
    }


def _read(schema: dict[str, Any], name: str, typed: Typed) -> Any:
    # JSON first: where both fit, quotes and `null` mean what they mean in a document.
    readings = [*_as_json(typed), str(typed)]
    wrong = [_wrong(schema, name, reading) for reading in readings]
    for reading, keywords in zip(readings, wrong, strict=True):
        if not keywords:
            return reading
    # Of those that do not fit, the one of the right type is told: that 3.1 is no text would tell
    # nothing to whoever typed 3.10.
    for reading, keywords in zip(readings, wrong, strict=True):
        if not keywords.intersection(_ABOUT_TYPES):
            return reading
    return readings[0]


def _as_json(typed: Typed) -> list[Any]:
    try:
        return [decode(str(typed))]
    except PayloadError:
        return []


def _wrong(schema: dict[str, Any], name: str, reading: Any) -> set[str]:
    """Return the keywords that a reading of the property does not fit."""
    try:
        return json_schema.wrong_in(schema, {name: reading}, name, _UNITS)
    except (json_schema.BadSchema, RecursionError, OverBudget, ExpressionError):
        return set()  # told when the whole is checked
