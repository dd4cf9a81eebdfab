"""What a schema adds to a value: defaults of what was left out, whole numbers as such."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.codec import MAX_DEPTH
from engine.definition.json_schema.run import BadSchema, Run
from engine.definition.json_schema.tree import Tree

_VISIT = 3  # units of work
_TOO_LARGE = 2.0**63  # as an integer


def completed(value: Any, schema: Any, tree: Tree, run: Run, depth: int = 0) -> Any:
    """Return ``value`` with the defaults of its properties, at any depth; it is changed in place.

    An object that was left out is not made up for its defaults' sake: only its own default does.
    Of several choices the first that the value fits counts.

    Raises:
        BadSchema: a default brings defaults in, without end.
    """
    run.budget.spend(_VISIT)
    if not isinstance(schema, dict):
        return value
    if depth > 4 * MAX_DEPTH:
        raise BadSchema("its defaults have no end")
    kind = type(value)
    if kind is dict:
        _complete_object(value, schema, tree, run, depth)
    elif kind is list:
        _complete_list(value, schema, tree, run, depth)
    elif kind is float and value.is_integer() and _is_whole(schema.get("type")):
        # Beyond 64 bits no database keeps an integer: 1e300 stays the double that it is.
        value = int(value) if abs(value) < _TOO_LARGE else value
    for part in _beside(value, schema, tree, run):
        value = completed(value, part, tree, run, depth + 1)
    return value


def _is_whole(kind: Any) -> bool:
    if isinstance(kind, list):
        return "integer" in kind and "number" not in kind
    return bool(kind == "integer")


def _complete_object(
    value: dict[str, Any], schema: dict[str, Any], tree: Tree, run: Run, depth: int
) -> None:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        run.budget.spend(len(properties) // 8)
        for name, part in properties.items():
            if name not in value and isinstance(part, dict) and "default" in part:
                value[name] = _copied(part["default"], run)
            if name in value:
                value[name] = completed(value[name], part, tree, run, depth + 1)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for name, entry in value.items():
            if not isinstance(properties, dict) or name not in properties:
                value[name] = completed(entry, others, tree, run, depth + 1)


def _complete_list(
    value: list[Any], schema: dict[str, Any], tree: Tree, run: Run, depth: int
) -> None:
    first = schema.get("prefixItems")
    first = first if isinstance(first, list) else []
    rest = schema.get("items")
    for index, entry in enumerate(value):
        part = first[index] if index < len(first) else rest
        if isinstance(part, dict):
            value[index] = completed(entry, part, tree, run, depth + 1)


def _beside(value: Any, schema: dict[str, Any], tree: Tree, run: Run) -> Iterator[Any]:
    """Yield the schemas inside ``schema`` that hold for the value itself."""
    if "$ref" in schema:
        yield tree.target(schema["$ref"])
    parts = schema.get("allOf")
    yield from parts if isinstance(parts, list) else ()
    for key in ("anyOf", "oneOf"):
        choices = schema.get(key)
        for part in choices if isinstance(choices, list) else ():
            if run.quietly(tree.node(part), value, None):
                yield part
                break
    if "if" in schema:
        holds = run.quietly(tree.node(schema["if"]), value, None)
        yield schema.get("then" if holds else "else", True)


def _copied(value: Any, run: Run) -> Any:
    """Return a default as a value of its own: what is filled in must not change the schema."""
    run.budget.spend(1)
    if isinstance(value, dict):
        return {key: _copied(entry, run) for key, entry in value.items()}
    if isinstance(value, list):
        return [_copied(entry, run) for entry in value]
    return value
