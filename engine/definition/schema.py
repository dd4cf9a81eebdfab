"""The input's JSON Schema: checked once with the document, then against every input."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from engine.codec import encode, plain
from engine.definition import json_schema, moment
from engine.definition.faults import Faults
from engine.definition.model import Definition
from engine.definition.typed import read_typed
from engine.errors import ExpressionError, Fault, InvalidInput, PayloadError, TooLarge
from engine.expressions import BUDGET, OverBudget

MAX_INPUT = 1_000_000  # bytes
VALUE_BUDGET = 500_000  # units of work: bodies and forms are checked within a transaction


def check_input(definition: Definition, value: Any, *, owner_id: str = "") -> Any:
    """Return ``value`` with the schema's defaults filled in; None is ``{}``.

    Args:
        definition: whose input it is.
        value: from outside.
        owner_id: for whom; large inputs of one user wait for one another (see `moment`).

    Raises:
        InvalidInput: with every fault, each with its path.
        TooLarge: over 1 MB as JSON.
        RateLimited, Unavailable: in the web app only: too many large inputs at once.
    """
    read = read_typed(definition.input_schema, {} if value is None else value)
    given = _readable(read, "input")
    check = partial(moment.fitted, owner_id, definition.input_tree, given)
    return _fitted(check, "input", f"workflow '{definition.name}'", BUDGET)


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
    given = _readable(read_typed(schema, value), root)
    check = partial(json_schema.fitted, json_schema.Tree(schema), given, root, VALUE_BUDGET)
    return _fitted(check, root, wanted_by, VALUE_BUDGET)


def _readable(value: Any, root: str) -> Any:
    try:
        given = plain(value, root)
    except PayloadError as error:
        raise InvalidInput(error.message, hint=error.hint) from None
    size = len(encode(given).encode())
    if size > MAX_INPUT:
        raise TooLarge(f"the {root} has {size} bytes, over the limit of {MAX_INPUT}")
    return given


def _fitted(
    check: Callable[[], tuple[Any, list[Fault]]], root: str, wanted_by: str, units: int
) -> Any:
    try:
        value, faults = check()
    except (RecursionError, json_schema.BadSchema) as error:
        why = str(error) if isinstance(error, json_schema.BadSchema) else "it has no end"
        raise InvalidInput(f"the schema cannot be followed for this {root}: {why}") from None
    except OverBudget:
        problem = f"the check of the {root} for {wanted_by} takes over {units:,} steps, the limit"
        hint = "make it smaller, or its schema simpler"
        raise InvalidInput(problem, hint=hint) from None
    except ExpressionError as error:
        said = f"the {root} cannot be checked: {error.message}"
        raise InvalidInput(said, hint=error.hint) from None
    if faults:
        verb = "do" if root.endswith("s") else "does"
        raise InvalidInput(f"the {root} {verb} not fit {wanted_by}", faults=faults)
    return value


def check_schema(schema: Any, faults: Faults, path: str = "input") -> None:
    """Keep a fault for everything that is wrong with ``schema``, found under ``path``.

    One that is stored was accepted once; what this release cannot follow is told of an input.
    """
    if faults.stored:
        return
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
