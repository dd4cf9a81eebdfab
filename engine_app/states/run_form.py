"""A form from a JSON Schema, and what was typed back into a value. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.codec import decode_strict
from engine.errors import Fault, PayloadError

_KINDS = {"string": "text", "number": "number", "integer": "integer", "boolean": "boolean"}
_INPUTS = {"date": "date", "date-time": "datetime-local", "email": "email", "uri": "url"}


@dataclass(frozen=True)
class Field:
    """A field of the form. ``kind`` tells how it is drawn and read back."""

    name: str = ""
    label: str = ""
    kind: str = "text"  # text | number | integer | boolean | choice | json
    input: str = "text"  # the type of a text field in the browser
    required: bool = False
    value: str = ""
    checked: bool = False
    hint: str = ""
    options: tuple[str, ...] = ()
    wrong: str = ""


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """Return the fields for a schema's properties; none when only JSON can say it."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return []
    required = set(schema.get("required", ()))
    return [
        _field(name, rule if isinstance(rule, Mapping) else {}, required=name in required)
        for name, rule in properties.items()
    ]


def _field(name: str, rule: Mapping[str, Any], *, required: bool) -> Field:
    kind, default = _kind(rule), rule.get("default")
    return Field(
        name=name,
        label=str(rule.get("title") or name),
        kind=kind,
        input=_INPUTS.get(str(rule.get("format", "")), "text"),
        required=required and default is None,
        value="" if default is None else _typed(default, kind),
        checked=default is True,
        hint=_hint(rule),
        options=tuple(_typed(option, "choice") for option in rule.get("enum", ())),
    )


def _kind(rule: Mapping[str, Any]) -> str:
    if "enum" in rule:
        return "choice"
    kinds = rule.get("type", "json")
    if isinstance(kinds, list):
        kinds = next((kind for kind in kinds if kind != "null"), "json")
    return _KINDS.get(str(kinds), "json")


def _typed(value: Any, kind: str) -> str:
    """Return a value as one would type it."""
    if kind in ("text", "choice") and isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _hint(rule: Mapping[str, Any]) -> str:
    parts = [str(rule["description"])] if rule.get("description") else []
    bounds = {"minimum": "at least", "maximum": "at most", "minLength": "length at least"}
    parts += [f"{word} {rule[name]}" for name, word in bounds.items() if name in rule]
    if rule.get("pattern"):
        parts.append(f"like {rule['pattern']}")
    return " · ".join(parts)


def example(schema: Mapping[str, Any]) -> str:
    """Return JSON text to start from: the defaults, and nulls for what is required."""
    rules = schema.get("properties")
    value: dict[str, Any] = {}
    for name, rule in (rules if isinstance(rules, Mapping) else {}).items():
        if isinstance(rule, Mapping) and "default" in rule:
            value[name] = rule["default"]
        elif name in schema.get("required", ()):
            value[name] = None
    return json.dumps(value, ensure_ascii=False, indent=2)


def read_json(text: str) -> tuple[Any, list[Fault]]:
    """Return the value of JSON text, or what is wrong with it."""
    try:
        return decode_strict(text or "{}"), []
    except PayloadError as error:
        if error.path:
            return None, [Fault(error.path, error.problem, error.hint)]
        return None, [Fault("", error.message.replace("the text is", "this is", 1), error.hint)]


def read(shown: list[Field], typed: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the input that was typed, and every field that cannot be read."""
    value: dict[str, Any] = {}
    faults: list[Fault] = []
    for field in shown:
        text = str(typed.get(field.name, "") or "")
        if field.kind == "boolean":
            value[field.name] = bool(typed.get(field.name))
        elif text.strip() or (field.required and field.kind == "text"):
            try:
                value[field.name] = _read(field, text)
            except ValueError:
                faults.append(Fault(field.name, _expected(field)))
    return value, faults


def _read(field: Field, text: str) -> Any:
    if field.kind == "integer":
        return int(text)
    if field.kind == "number":
        return float(text)
    if field.kind == "json":
        return json.loads(text)
    if field.kind == "choice":
        return _option(text)
    return text


def _option(text: str) -> Any:
    """Return a chosen option: those that are not text were shown as JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value


def _expected(field: Field) -> str:
    return {
        "integer": "give a whole number",
        "number": "give a number",
        "json": 'give JSON, e.g. [1, 2] or {"a": 1}',
    }.get(field.kind, "this cannot be read")


def filled(
    shown: list[Field], typed: Mapping[str, Any], faults: list[Fault], root: str = "input"
) -> tuple[list[Field], list[str]]:
    """Return the fields as typed with their faults, and the faults that fit no field.

    ``root`` is what the paths of the faults begin with.
    """
    wrong: dict[str, str] = {}
    rest: list[str] = []
    names = {field.name for field in shown}
    for fault in faults:
        name = fault.path.removeprefix(root).lstrip(".").split(".")[0].split("[")[0]
        if name in names:
            wrong[name] = f"{wrong[name]}; {fault.problem}" if name in wrong else fault.problem
        else:
            rest.append(str(fault))
    return [
        replace(
            field,
            value=str(typed.get(field.name, "") or ""),
            checked=bool(typed.get(field.name)),
            wrong=wrong.get(field.name, ""),
        )
        for field in shown
    ], rest
