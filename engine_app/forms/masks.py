"""Secrets in values that people see: masked for the page, put back when they come from it. Pure.

A secret is what a schema calls ``format: password``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.codec import member
from engine.errors import Fault
from engine.expressions import Budget, OverBudget
from engine_app.forms.rules import resolved

MASK = "•" * 8
_DEEPEST = 64
_UNITS = 400_000  # of work: some 0.2 s


def masked(schema: Any, value: Any, root: Mapping[str, Any]) -> Any:
    """Return ``value`` with a mask for each secret; an empty one hides nothing.

    Where the schema has more to say of it than can be followed, every text is masked.
    """
    try:
        return _masked(schema, value, root, Budget(_UNITS), 0)
    except OverBudget:
        return _all_masked(value)


def _masked(schema: Any, value: Any, root: Mapping[str, Any], budget: Budget, depth: int) -> Any:
    says = resolved(schema, root)
    budget.spend(4 + len(says))
    if says.get("format") == "password" and isinstance(value, str) and value:
        return MASK
    if depth > _DEEPEST:
        return value
    for part in _parts(says):
        value = _masked(part, value, root, budget, depth + 1)
    if isinstance(value, dict):
        rules = says.get("properties")
        rules = rules if isinstance(rules, Mapping) else {}
        rest = says.get("additionalProperties")
        return {
            key: _masked(rules.get(key, rest), entry, root, budget, depth + 1)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        first = says.get("prefixItems")
        first = first if isinstance(first, Sequence) else ()
        rest = says.get("items")
        return [
            _masked(first[at] if at < len(first) else rest, entry, root, budget, depth + 1)
            for at, entry in enumerate(value)
        ]
    return value


def _all_masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _all_masked(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_all_masked(entry) for entry in value]
    return MASK if isinstance(value, str) and value else value


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
    own, refers = _secrets_in(schema)
    # Whatever a reference leads to is somewhere in the whole.
    return own or (refers and _secrets_in(root)[0])


def may_name_secrets(schema: Any) -> bool:
    """Return the same for a part of a schema of which it is known that it names some."""
    return any(_secrets_in(schema))


def _secrets_in(schema: Any) -> tuple[bool, bool]:
    """Return whether there is a secret in the schema itself, and whether it has references."""
    refers, left = False, [schema]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            if part.get("format") == "password":
                return True, refers
            refers = refers or "$ref" in part
            left += part.values()
        elif isinstance(part, list):
            left += part
    return False, refers


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
