"""The input's JSON Schema: checked once with the document, then against every input.

Patterns are matched by the linear-time engine of `expressions`: with Python's, one pattern and
one input could hold a thread for hours. Nothing is ever fetched: references stay inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from engine.codec import encode, member, plain
from engine.definition.faults import Faults
from engine.definition.model import Definition
from engine.errors import ExpressionError, Fault, InvalidInput, PayloadError, TooLarge
from engine.expressions import did_you_mean, matches

MAX_INPUT = 1_000_000  # bytes
_MESSAGE_LIMIT = 200
_UNSUPPORTED = {
    "patternProperties": "list the properties, or use additionalProperties",
    "$dynamicRef": "use $ref",
    "$id": "remove it: references stay inside the document",
}


def check_input(definition: Definition, value: Any) -> Any:
    """Return ``value`` with the schema's defaults filled in at the top level; None is ``{}``.

    Raises:
        InvalidInput: with every fault, each with its path.
        TooLarge: over 1 MB as JSON.
    """
    given = _readable({} if value is None else value, "input")
    if isinstance(given, dict):
        given = _defaults(definition.input_schema) | given
    _check(definition.input_schema, given, "input", f"workflow '{definition.name}'")
    return given


def check_value(schema: dict[str, Any], value: Any, *, root: str, wanted_by: str) -> Any:
    """Return ``value`` as plain JSON, defaults filled in at the top level, if it fits ``schema``.

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
    if isinstance(given, dict):
        given = _defaults(schema) | given
    _check(schema, given, root, wanted_by)
    return given


def _readable(value: Any, root: str) -> Any:
    try:
        given = plain(value, root)
    except PayloadError as error:
        raise InvalidInput(error.message, hint=error.hint) from None
    size = len(encode(given).encode())
    if size > MAX_INPUT:
        raise TooLarge(f"the {root} has {size} bytes, over the limit of {MAX_INPUT}")
    return given


def _check(schema: dict[str, Any], given: Any, root: str, wanted_by: str) -> None:
    try:
        errors = sorted(_validator(schema).iter_errors(given), key=lambda e: list(map(str, e.path)))
    except (RecursionError, Unresolvable):
        raise InvalidInput(f"the schema cannot be followed to its end for this {root}") from None
    if errors:
        faults = [_fault(error, root) for error in errors[:100]]
        verb = "do" if root.endswith("s") else "does"
        raise InvalidInput(f"the {root} {verb} not fit {wanted_by}", faults=faults)


def check_schema(schema: Any, faults: Faults, path: str = "input") -> None:
    """Keep a fault for everything that is wrong with ``schema``, found under ``path``."""
    before = len(faults.found)
    for error in _meta().iter_errors(schema):
        fault = _fault(error, path)
        faults.add(fault.path, fault.problem, "see https://json-schema.org/draft/2020-12")
    if len(faults.found) > before:
        return
    if path == "input" and schema.get("type", "object") != "object":
        faults.add("input.type", "must be object", "an input is always a mapping")
    for where, key, value in _walk(schema, path):
        _check_keyword(where, key, value, faults)
    if len(faults.found) == before:
        _check_end(schema, path, faults)


def undeclared(schema: dict[str, Any], name: str) -> bool:
    """Return whether an input that fits ``schema`` can be known never to have ``name``."""
    open_ended = ("additionalProperties", "$ref", "allOf", "anyOf", "oneOf", "if")
    properties = schema.get("properties")
    if not isinstance(properties, dict) or name in properties:
        return False
    return not any(schema.get(key) for key in open_ended)


def _defaults(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {
        name: prop["default"]
        for name, prop in properties.items()
        if isinstance(prop, dict) and "default" in prop
    }


def _check_keyword(path: str, key: str, value: Any, faults: Faults) -> None:
    if key in _UNSUPPORTED:
        faults.add(path, "is not supported", _UNSUPPORTED[key])
    elif key == "$ref" and not str(value).startswith("#"):
        faults.add(path, "must stay inside the document", "write #/$defs/name")
    elif key == "pattern":
        try:
            matches("", value)
        except ExpressionError as error:
            faults.add(path, error.message, error.hint)


def _check_end(schema: dict[str, Any], path: str, faults: Faults) -> None:
    """Refuse references that lead nowhere or in a circle."""
    probe: dict[str, Any] = dict.fromkeys(schema.get("properties", {}))
    try:
        for value in ({}, probe):
            list(_validator(schema).iter_errors(value))
    except RecursionError:
        faults.add(path, "its references go in a circle", "break it")
    except Unresolvable as error:
        faults.add(path, f"the reference {error.ref!r} leads nowhere", "add it under $defs")


def _walk(schema: Any, path: str, *, names: bool = False) -> Iterator[tuple[str, str, Any]]:
    """Yield every keyword with its path; under ``properties`` keys are names, not keywords."""
    if isinstance(schema, list):
        for index, entry in enumerate(schema):
            yield from _walk(entry, f"{path}[{index}]")
        return
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        where = member(path, key)
        if not names:
            yield where, key, value
            if key in ("default", "const", "enum", "examples"):
                continue
        named = not names and key in ("properties", "$defs", "dependentSchemas")
        yield from _walk(value, where, names=named)


def _fault(error: ValidationError, root: str) -> Fault:
    path = root
    for key in error.absolute_path:
        path = member(path, key)
    message = error.message if len(error.message) <= _MESSAGE_LIMIT else _short(error)
    if error.validator == "required" and isinstance(error.instance, dict):
        missing = _missing(error)
        return Fault(member(path, missing), "is required")
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        extra = next((name for name in error.instance if name not in known), "")
        return Fault(path, message, did_you_mean(extra, known))
    return Fault(path, message)


def _missing(error: ValidationError) -> str:
    """Return the name this error is about: each missing property is an error of its own."""
    required: list[str] = list(cast("list[str]", error.validator_value))
    return next(name for name in required if error.message.startswith(f"{name!r} is"))


def _short(error: ValidationError) -> str:
    wanted = str(error.validator_value)
    return f"does not fit {error.validator}: {wanted[:_MESSAGE_LIMIT]}"


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(instance, pattern):
        yield ValidationError(f"does not match the pattern {pattern!r}")


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    validator: Draft202012Validator = _Validator(
        schema, format_checker=_formats(), registry=Registry()
    )
    return validator


_Validator = extend(  # type: ignore[no-untyped-call]  # jsonschema's stubs leave it untyped
    Draft202012Validator, {"pattern": _pattern}
)


@cache
def _meta() -> Draft202012Validator:
    return Draft202012Validator(Draft202012Validator.META_SCHEMA)


@cache
def _formats() -> FormatChecker:
    checker = FormatChecker(("date", "email", "ipv4", "ipv6", "uuid", "time"))
    checker.checks("date-time", raises=ValueError)(_is_moment)
    checker.checks("uri", raises=ValueError)(_is_uri)
    return checker


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and " " not in value)
