"""The input's JSON Schema: checked once with the document, then against every input."""

from __future__ import annotations

from typing import Any

from engine.codec import encode, plain
from engine.definition import json_schema
from engine.definition.faults import Faults
from engine.definition.model import Definition
from engine.errors import ExpressionError, InvalidInput, PayloadError, TooLarge
from engine.expressions import BUDGET

MAX_INPUT = 1_000_000  # bytes


def check_input(definition: Definition, value: Any) -> Any:
    """Return ``value`` with the schema's defaults filled in; None is ``{}``.

    Raises:
        InvalidInput: with every fault, each with its path.
        TooLarge: over 1 MB as JSON.
    """
    given = _readable({} if value is None else value, "input")
    return _fitted(definition.input_schema, given, "input", f"workflow '{definition.name}'")


def check_value(schema: dict[str, Any], value: Any, *, root: str, wanted_by: str) -> Any:
    """Return ``value`` as plain JSON, defaults filled in, if it fits ``schema``.

    Args:
        schema: a JSON Schema that ``check_schema`` found no fault in; ``{}`` takes anything.
        value: from outside.
        root: what the value is called in paths, as "body".
        wanted_by: who takes only what fits, as "signal 'paid'".

    Raises:
        InvalidInput: with every fault, each with its path.
        TooLarge: over 1 MB as JSON.
    """
    given = _readable(value, root)
    return _fitted(schema, given, root, wanted_by)


def _readable(value: Any, root: str) -> Any:
    try:
        given = plain(value, root)
    except PayloadError as error:
        raise InvalidInput(error.message, hint=error.hint) from None
    size = len(encode(given).encode())
    if size > MAX_INPUT:
        raise TooLarge(f"the {root} has {size} bytes, over the limit of {MAX_INPUT}")
    return given


def _fitted(schema: dict[str, Any], given: Any, root: str, wanted_by: str) -> Any:
    try:
        value, faults = json_schema.fitted(schema, given, root)
    except (RecursionError, json_schema.BadSchema) as error:
        why = str(error) if isinstance(error, json_schema.BadSchema) else "it has no end"
        raise InvalidInput(f"the schema cannot be followed for this {root}: {why}") from None
    except ExpressionError as error:
        raise _costly(error, root, wanted_by) from None
    if faults:
        verb = "do" if root.endswith("s") else "does"
        raise InvalidInput(f"the {root} {verb} not fit {wanted_by}", faults=faults)
    return value


def _costly(error: ExpressionError, root: str, wanted_by: str) -> InvalidInput:
    if "pattern" in error.message:
        return InvalidInput(f"the {root} cannot be checked: {error.message}", hint=error.hint)
    problem = f"the check of the {root} for {wanted_by} takes over {BUDGET:,} steps, the limit"
    return InvalidInput(problem, hint="make it smaller, or its schema simpler")


def check_schema(schema: Any, faults: Faults, path: str = "input") -> None:
    """Keep a fault for everything that is wrong with ``schema``, found under ``path``."""
    before = len(faults.found)
    json_schema.check(schema, faults, path)
    if path == "input" and len(faults.found) == before and not _is_for_objects(schema):
        faults.add("input.type", "must be object", "an input is always a mapping")


def _is_for_objects(schema: Any) -> bool:
    return bool(schema.get("type", "object") == "object")


def undeclared(schema: dict[str, Any], name: str) -> bool:
    """Return whether an input that fits ``schema`` can be known never to have ``name``."""
    open_ended = ("additionalProperties", "$ref", "allOf", "anyOf", "oneOf", "if")
    properties = schema.get("properties")
    if not isinstance(properties, dict) or name in properties:
        return False
    return not any(schema.get(key) for key in open_ended)
