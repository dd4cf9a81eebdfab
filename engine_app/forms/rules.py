"""What a JSON Schema says about one value, as far as a field of a form must know it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

MAX_OPTIONS = 500  # of a selection: nobody looks through more, and pages carry each of them
_DEEPEST = 20  # references that lead to references
_SIMPLE = {"string": "text", "number": "number", "integer": "integer", "boolean": "boolean"}
# A text in one of these formats has one line; so has a browser's field for it.
_LINES = frozenset({"date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6"})
_NULL = {"type": "null"}


@dataclass(frozen=True)
class Rule:
    """One property of a form.

    Attributes:
        kind: text, line, date, password, number, integer, boolean, choice, or json for whatever
            has no field of its own.
        nullable: null fits too.
        options: of a choice, each with its title, if it has one.
        says: the keywords, those of references included.
    """

    kind: str = "json"
    nullable: bool = False
    options: tuple[tuple[Any, str], ...] = ()
    says: Mapping[str, Any] = field(default_factory=dict)


def rule_of(schema: Any, root: Mapping[str, Any]) -> Rule:
    """Return what ``schema`` says; references are looked up in ``root``."""
    says = resolved(schema, root)
    branches = says.get("anyOf") or says.get("oneOf")
    if isinstance(branches, Sequence) and len(branches) > MAX_OPTIONS:
        return Rule(says=says)
    if isinstance(branches, Sequence):
        return _of_branches(says, [resolved(branch, root) for branch in branches], root)
    options = _options(says)
    if options is not None:
        return Rule("choice", any(value is None for value, _ in options), options, says)
    kind, nullable = _kind(says)
    return Rule(kind, nullable, ((None, ""),) if kind == "choice" else (), says)


def resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema with what its reference says; a keyword beside the reference goes first."""
    says: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    for _ in range(_DEEPEST):
        alone = says.get("allOf")
        if isinstance(alone, Sequence) and len(alone) == 1 and isinstance(alone[0], Mapping):
            says = {**alone[0], **{key: says[key] for key in says if key != "allOf"}}
        elif isinstance(says.get("$ref"), str):
            found = _looked_up(says["$ref"], root)
            says = {**found, **{key: says[key] for key in says if key != "$ref"}}
        else:
            break
    return says


def _looked_up(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what ``#/$defs/name`` leads to; what leads nowhere says nothing."""
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _of_branches(
    says: Mapping[str, Any], branches: Sequence[Mapping[str, Any]], root: Mapping[str, Any]
) -> Rule:
    """Return the rule of alternatives: one that may be null, a choice among values, else JSON."""
    others = [branch for branch in branches if dict(branch) != _NULL]
    nullable = len(others) < len(branches)
    around = {key: says[key] for key in says if key not in ("anyOf", "oneOf")}
    if len(others) == 1 and not {"enum", "const"} & set(around):
        one = rule_of({**others[0], **around}, root)
        return replace(one, nullable=nullable or one.nullable)
    found = [_options(branch) for branch in others]
    options = tuple(option for some in found if some is not None for option in some)
    if found and None not in found and "type" not in around:
        return Rule("choice", nullable or any(v is None for v, _ in options), options, around)
    return Rule("json", nullable=False, says=around)


def _options(says: Mapping[str, Any]) -> tuple[tuple[Any, str], ...] | None:
    """Return the values that it allows, if it lists them; one alone may have a title."""
    if "const" in says:
        return ((says["const"], str(says.get("title") or "")),)
    if isinstance(says.get("enum"), Sequence) and len(says["enum"]) <= MAX_OPTIONS:
        return tuple((value, "") for value in says["enum"])
    return None


def _kind(says: Mapping[str, Any]) -> tuple[str, bool]:
    """Return how it is typed in, and whether it may be null."""
    types = says.get("type")
    names = {types} if isinstance(types, str) else set(types) if isinstance(types, list) else set()
    nullable = "null" in names
    names -= {"null"}
    if names == {"integer", "number"}:
        names = {"number"}
    if not names:
        return ("choice", True) if nullable else ("json", False)
    kind = _SIMPLE.get(names.pop(), "json") if len(names) == 1 else "json"
    if kind == "json":
        return "json", False  # null is typed as JSON, too
    return (_text_kind(str(says.get("format") or "")) if kind == "text" else kind), nullable


def _text_kind(format_: str) -> str:
    if format_ in ("password", "date"):
        return format_
    return "line" if format_ in _LINES else "text"
