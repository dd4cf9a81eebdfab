"""What each keyword of a schema may hold.

Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.definition.json_schema.values import TYPES, is_number, is_whole, shown
from engine.expressions import did_you_mean

# What holds one schema, a list of them, and a mapping to them.
ONE = frozenset(
    (
        *("additionalProperties", "propertyNames", "unevaluatedProperties", "items"),
        *("unevaluatedItems", "contains", "not", "if", "then", "else"),
    )
)
SEVERAL = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
NAMED = frozenset(("properties", "$defs", "definitions", "dependentSchemas"))
# Of these, what holds schemas for the value itself and not for its parts.
IN_PLACE = frozenset(("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"))

UNSUPPORTED = {
    "patternProperties": "list the properties, or use additionalProperties",
    "$dynamicRef": "use $ref",
    "$id": "remove it: references stay inside the document",
}


def problem_of(name: str, given: Any) -> str:
    """Return what is wrong with what keyword ``name`` holds, as "must be a text", or nothing."""
    check = _SHAPES.get(name)
    return check(given) if check else ""


def hint_of(name: str, given: Any) -> str:
    """Return what to write instead."""
    near = did_you_mean(given, TYPES) if name == "type" and isinstance(given, str) else ""
    return near if near.startswith("did") else "see https://json-schema.org/draft/2020-12"


def _schema(given: Any) -> str:
    return "" if isinstance(given, dict | bool) else "must be a mapping, or true or false"


def _schemas(given: Any) -> str:
    return "" if isinstance(given, list) and given else "must be a list of at least one schema"


def _named_schemas(given: Any) -> str:
    return "" if isinstance(given, dict) else "must be a mapping from names to schemas"


def _type(given: Any) -> str:
    names = given if isinstance(given, list) else [given]
    wrong = next((name for name in names if not isinstance(name, str) or name not in TYPES), None)
    if wrong is not None or not names:
        return f"must be one of {', '.join(TYPES)}, not {shown(wrong)[:40]}"
    return "" if len(set(names)) == len(names) else "names a type twice"


def _number(given: Any) -> str:
    return "" if is_number(given) else "must be a number"


def _step(given: Any) -> str:
    return "" if is_number(given) and given > 0 else "must be a number above 0"


def _count(given: Any) -> str:
    return "" if is_whole(given) and given >= 0 else "must be a whole number from 0"


def _text(given: Any) -> str:
    return "" if isinstance(given, str) else "must be a text"


def _truth(given: Any) -> str:
    return "" if isinstance(given, bool) else "must be true or false"


def _list(given: Any) -> str:
    return "" if isinstance(given, list) else "must be a list"


def _names(given: Any) -> str:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        return "must be a list of texts"
    return "" if len(set(given)) == len(given) else "names a property twice"


def _named_names(given: Any) -> str:
    if not isinstance(given, dict):
        return "must be a mapping from names to lists of names"
    return next(filter(None, map(_names, given.values())), "")


def _reference(given: Any) -> str:
    return (
        "" if isinstance(given, str) and given.startswith("#") else "must stay inside the document"
    )


_SHAPES: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(ONE, _schema),
    **dict.fromkeys(SEVERAL, _schemas),
    **dict.fromkeys(NAMED, _named_schemas),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _count),
    **dict.fromkeys(("title", "description", "$comment", "$schema", "pattern", "format"), _text),
    **dict.fromkeys(("$anchor", "$dynamicAnchor", "contentEncoding", "contentMediaType"), _text),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _truth),
    **dict.fromkeys(("enum", "examples"), _list),
    "type": _type,
    "multipleOf": _step,
    "required": _names,
    "dependentRequired": _named_names,
    "$ref": _reference,
}
