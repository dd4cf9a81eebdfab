"""Secrets in values that people see: masked for the page, put back when they come from it. Pure.

A secret is what a schema calls ``format: password``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.codec import member
from engine.errors import Fault
from engine_app.forms.rules import resolved

MASK = "•" * 8
_DEEPEST = 64


def masked(schema: Any, value: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """Return ``value`` with a mask for each secret; an empty one hides nothing."""
    says = resolved(schema, root)
    if says.get("format") == "password" and isinstance(value, str) and value:
        return MASK
    if depth > _DEEPEST:
        return value
    for part in _parts(says):
        value = masked(part, value, root, depth + 1)
    if isinstance(value, dict):
        rules = says.get("properties")
        rules = rules if isinstance(rules, Mapping) else {}
        rest = says.get("additionalProperties")
        return {
            key: masked(rules.get(key, rest), entry, root, depth + 1)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        first = says.get("prefixItems")
        first = first if isinstance(first, Sequence) else ()
        return [
            masked(first[at] if at < len(first) else says.get("items"), entry, root, depth + 1)
            for at, entry in enumerate(value)
        ]
    return value


def _parts(says: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas beside this one that speak of the same value."""
    for name in ("allOf", "anyOf", "oneOf"):
        found = says.get(name)
        if isinstance(found, Sequence):
            yield from found
    for name in ("then", "else"):
        if name in says:
            yield says[name]


def has_secrets(schema: Any, value: Any, root: Mapping[str, Any]) -> bool:
    """Return whether there is something to mask."""
    return bool(masked(schema, value, root) != value)


def names_secrets(schema: Any, root: Mapping[str, Any]) -> bool:
    """Return whether a value of this schema may have a secret in it."""
    if isinstance(schema, Mapping):
        if schema.get("format") == "password":
            return True
        # Whatever a reference leads to is somewhere in the whole.
        leads = "$ref" in schema and schema is not root and names_secrets(_bare(root), {})
        return leads or any(names_secrets(part, root) for part in schema.values())
    return isinstance(schema, list) and any(names_secrets(part, root) for part in schema)


def _bare(schema: Any) -> Any:
    """Return a schema without its references."""
    if isinstance(schema, Mapping):
        return {key: _bare(part) for key, part in schema.items() if key != "$ref"}
    return [_bare(part) for part in schema] if isinstance(schema, list) else schema


def unmasked(value: Any, original: Any, path: str = "") -> tuple[Any, list[Fault]]:
    """Return ``value`` with the secrets of ``original`` in place of their masks, and a fault for
    each mask that stands where ``original`` has none."""
    if value == MASK:
        if isinstance(original, str):
            return original, []
        return value, [Fault(path, "a mask stands for no secret here: type it again")]
    if isinstance(value, dict):
        known = original if isinstance(original, dict) else {}
        found = {
            key: unmasked(entry, known.get(key), member(path, key)) for key, entry in value.items()
        }
        return {key: entry for key, (entry, _) in found.items()}, _all(found.values())
    if isinstance(value, list):
        kept = original if isinstance(original, list) else []
        entries = [
            unmasked(entry, kept[at] if at < len(kept) else None, f"{path}[{at}]")
            for at, entry in enumerate(value)
        ]
        return [entry for entry, _ in entries], _all(entries)
    return value, []


def _all(found: Any) -> list[Fault]:
    return [fault for _, faults in found for fault in faults]
