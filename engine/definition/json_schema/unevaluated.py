"""``unevaluatedProperties`` and ``unevaluatedItems``: what no schema beside them has looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engine.definition.json_schema.run import Check, Place, Run, every

if TYPE_CHECKING:
    from engine.definition.json_schema.tree import Tree


def _properties(given: Any, schema: Any, tree: Tree) -> Check:
    node = tree.node(given)

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not dict:
            return True
        seen = set(_seen(run, value, place, schema, tree))
        fits = True
        for name in value:
            if name not in seen:
                if given is False:
                    said = "is not a known property"
                    fits = run.fault((place, name), "unevaluatedProperties", said)
                else:
                    fits = node.fits(run, value[name], (place, name)) and fits
        return fits

    return check


def _items(given: Any, schema: Any, tree: Tree) -> Check:
    node = tree.node(given)

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not list:
            return True
        seen = set(_seen(run, value, place, schema, tree))
        rest = [index for index in range(len(value)) if index not in seen]
        return every(node.fits(run, value[index], (place, index)) for index in rest)

    return check


def _seen(run: Run, value: Any, place: Place, schema: Any, tree: Tree) -> Iterator[str | int]:
    """Yield the keys of ``value`` that a schema or one that holds for it beside has looked at."""
    run.budget.spend(1)
    if not isinstance(schema, dict):
        return
    own = _seen_properties if isinstance(value, dict) else _seen_items
    yield from own(run, value, place, schema, tree)
    for part in _beside(run, value, place, schema, tree):
        yield from _seen(run, value, place, part, tree)


def _seen_properties(
    run: Run, value: dict[str, Any], _place: Place, schema: dict[str, Any], _tree: Tree
) -> Iterator[str]:
    run.budget.spend(len(value) // 8)
    known = schema.get("properties", {})
    everything = "additionalProperties" in schema
    yield from (name for name in value if everything or name in known)


def _seen_items(
    run: Run, value: list[Any], place: Place, schema: dict[str, Any], tree: Tree
) -> Iterator[int]:
    run.budget.spend(len(value) // 8)
    everything = "items" in schema
    yield from range(len(value) if everything else len(schema.get("prefixItems", ())))
    if "contains" in schema:
        node = tree.node(schema["contains"])
        yield from (at for at, entry in enumerate(value) if run.quietly(node, entry, place))


def _beside(
    run: Run, value: Any, place: Place, schema: dict[str, Any], tree: Tree
) -> Iterator[Any]:
    """Yield the schemas inside ``schema`` that hold for the value itself."""
    if "$ref" in schema:
        yield tree.target(schema["$ref"])
    for key in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(key, ()):
            if run.quietly(tree.node(part), value, place):
                yield part
    if "if" in schema:
        holds = run.quietly(tree.node(schema["if"]), value, place)
        if holds:
            yield schema["if"]
        yield schema.get("then" if holds else "else", True)
    for name, part in schema.get("dependentSchemas", {}).items():
        if name in value:
            yield part
    for key in ("unevaluatedProperties", "unevaluatedItems"):
        if key in schema and schema[key] is True:
            yield {"additionalProperties": True, "items": True}


BUILD = {"unevaluatedProperties": _properties, "unevaluatedItems": _items}
