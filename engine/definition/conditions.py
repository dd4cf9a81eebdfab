"""``when`` and ``for_each``: what decides whether a step runs, and how often.

That they can never give true or false, or a list, is told with the document, as far as the
input's schema and the types of the steps show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.definition.faults import Faults, word
from engine.expressions import Kinds, Template

MAX_ITEMS = 20_000
_OPEN = "${{"
_MAX_REFERENCES = 8  # followed one after the other, as models in models have them
_MAX_BRANCHES = 20
_WHOLE = "put all of it into one ${{ … }}"
_WORDS = {"boolean": "true or false", "list": "a list"}
_JSON_KINDS = {"array": "list", "integer": "number"}
_OUTPUTS = {
    "http": frozenset({"object", "null"}),
    "approval": frozenset({"object", "null"}),
    "sleep": frozenset({"null"}),
}
_LISTS = frozenset({"list", "null"})  # null: of a step that was skipped
_FIELDS = {"status": frozenset({"string"}), "error": frozenset({"object", "null"})}


def when(body: dict[str, Any], path: str, faults: Faults) -> Template | None:
    """Return the condition compiled, or None after keeping its faults."""
    given = body.get("when")
    if given is None:
        return None
    path = f"{path}.when"
    if isinstance(given, bool) or _is_expression(given) or faults.stored:
        return faults.template(given, path)
    if isinstance(given, dict | list):
        faults.add(path, f"must be an expression, not {word(given)}", _WHOLE)
    else:
        faults.add(path, "must be an expression", f"write ${{{{ {given} }}}}")
    return None


def for_each(body: dict[str, Any], path: str, faults: Faults) -> Template | None:
    """Return the items compiled, or None after keeping their faults."""
    given = body.get("for_each")
    if given is None:
        return None
    path = f"{path}.for_each"
    if isinstance(given, list) and len(given) > MAX_ITEMS:
        faults.add(path, f"has over {MAX_ITEMS} items")
    elif isinstance(given, list) or _is_expression(given) or faults.stored:
        return faults.template(given, path)
    else:
        found = "" if isinstance(given, str) else f", not {word(given)}"
        problem = f"must be a list or an expression that gives one{found}"
        faults.add(path, problem, "write ${{ steps.a.output }}")
    return None


def _is_expression(given: Any) -> bool:
    return isinstance(given, str) and _OPEN in given


def check(
    templates: Iterable[Template | None], document: Mapping[str, Any], faults: Faults
) -> None:
    """Keep a fault for a ``when`` that never gives true or false, a ``for_each`` never a list."""
    for template in templates:
        if template is None or template.constant:
            continue
        wanted = "boolean" if template.path.endswith(".when") else "list"
        found = template.kinds(lambda path: _known(path, document))
        if found is not None and wanted not in found:
            shown = " or ".join(sorted(found))
            hint = _WHOLE if found == {"string"} else ""
            faults.add_new(
                template.path, f"is always of type {shown}, never {_WORDS[wanted]}", hint
            )


def _known(path: tuple[str | int, ...], document: Mapping[str, Any]) -> Kinds:
    """Return the kinds that the reference ``path`` can give in ``document``."""
    match path:
        case ("input", *keys):
            schema = document.get("input")
            return None if schema is None else _by_schema(schema, schema, keys)
        case ("index",):
            return frozenset({"number"})
        case ("steps", str(name), str(field)):
            return _of_step(document["steps"].get(name), field)
        case _:
            return None


def _of_step(body: Any, field: str) -> Kinds:
    if not isinstance(body, dict):
        return None
    if field == "output":
        return _LISTS if "for_each" in body else _OUTPUTS.get(str(body.get("uses")))
    return _FIELDS.get(field)


def _by_schema(schema: Any, whole: dict[str, Any], keys: Sequence[str | int]) -> Kinds:
    """Return the kinds of what is found under ``keys`` in a value that fits ``schema``."""
    for _ in range(_MAX_REFERENCES):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            break
        definitions = whole.get("$defs")
        name = reference.removeprefix("#/$defs/")
        schema = definitions.get(name) if isinstance(definitions, dict) else None
    if not isinstance(schema, dict) or "$ref" in schema:
        return None
    if keys:
        below = schema.get("items") if isinstance(keys[0], int) else _property(schema, keys[0])
        return _by_schema(below, whole, keys[1:])
    return _of_schema(schema)


def _property(schema: dict[str, Any], name: str) -> Any:
    properties = schema.get("properties")
    return properties.get(name) if isinstance(properties, dict) else None


def _of_schema(schema: dict[str, Any]) -> Kinds:
    types = schema.get("type")
    if types is not None:
        named = types if isinstance(types, list) else [types]
        return frozenset(_JSON_KINDS.get(str(name), str(name)) for name in named)
    branches = schema.get("anyOf")
    if not isinstance(branches, list) or len(branches) > _MAX_BRANCHES:
        return None
    found: set[str] = set()
    for branch in branches:
        # One level: a branch that holds branches again says nothing here.
        types = branch.get("type") if isinstance(branch, dict) else None
        if not isinstance(types, str):
            return None
        found.add(_JSON_KINDS.get(types, types))
    return frozenset(found)
