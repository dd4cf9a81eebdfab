"""From what was typed into a form to a value, exactly as it was chosen, or what is wrong. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine.codec import decode, decode_strict, member, plain
from engine.errors import Fault, PayloadError
from engine_app.forms.fields import ABSENT, EMPTY, MISSING, NULL, Field, fields, json_text
from engine_app.forms.masks import unmasked

MEANING = "-empty"  # after a field's key: what it means while it is empty
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WANTED = {
    "integer": "give a whole number",
    "number": "give a number",
    "json": 'give JSON, e.g. "text", [1, 2] or {"a": 1}',
    "choice": "choose one",
    "date": "give a day",
}
_MOST_DIGITS = 4_000


class _Unread(Exception):
    """What was typed cannot be read; its text says what is wanted."""


def read(shown: list[Field], typed: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the value that was typed, and every field that cannot be read.

    Args:
        shown: the fields.
        typed: what the browser has of them, by their keys.
    """
    value: dict[str, Any] = {}
    faults: list[Fault] = []
    for field in shown:
        try:
            found = _read(field, typed)
        except _Unread as error:
            faults.append(Fault(field.name, str(error)))
            continue
        if found is not MISSING:
            value[field.name] = found
    return value, faults


def _read(field: Field, typed: Mapping[str, Any]) -> Any:
    text = _typed(field, typed)
    if field.kind == "boolean":
        return bool(text)
    if field.exact and text == browsers(field.value, field.kind):
        return decode(field.exact)
    if field.kind == "choice":
        return _chosen(field, text)
    if not (text if field.kind in ("text", "password") else text.strip()):
        return _nothing(field, str(typed.get(field.key + MEANING) or field.empty))
    if field.kind in ("integer", "number"):
        return _number(text.strip(), field.kind)
    if field.kind == "json":
        return _json(field, text)
    return _moment(text) if field.kind == "line" else text


def _typed(field: Field, typed: Mapping[str, Any]) -> str:
    return str(typed.get(field.key) or "")


def browsers(text: str, kind: str) -> str:
    """Return how a browser gives back a text that it was given to show: line breaks change."""
    if kind in ("text", "json"):
        return text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\r", "").replace("\n", "")


def _chosen(field: Field, text: str) -> Any:
    for option in field.options:
        if option.value == text:
            break
    else:
        raise _Unread(_WANTED["choice"])
    if option.given:
        return decode(option.given)
    if field.empty == ABSENT:
        return MISSING
    raise _Unread(_WANTED["choice"])


def _nothing(field: Field, meaning: str) -> Any:
    allowed = [one.value for one in field.empties] or [field.empty]
    if meaning in allowed:
        if meaning == ABSENT:
            return MISSING
        if meaning == NULL:
            return None
        if meaning == EMPTY:
            return ""
    wanted = _WANTED.get(field.kind, "fill it in")
    kept = f"; the default is {field.value}" if field.value else ""
    raise _Unread(f"it is empty: {wanted}{kept}")


def _number(text: str, kind: str) -> Any:
    if len(text) > _MOST_DIGITS:
        raise _Unread(f"a number has at most {_MOST_DIGITS:,} digits")
    if _INTEGER.fullmatch(text):
        try:
            return plain(int(text))
        except PayloadError as error:
            raise _Unread(f"it {error.problem}") from None
    if kind == "integer" or not _NUMBER.fullmatch(text):
        raise _Unread(_WANTED[kind])
    value = float(text)
    if not math.isfinite(value):
        raise _Unread("the number is too large")
    return value


def _json(field: Field, text: str) -> Any:
    try:
        value = decode_strict(text)
    except PayloadError as error:
        said = f": {error.path} {error.problem}" if error.path else ""
        raise _Unread(_WANTED["json"] + said) from None
    value, faults = unmasked(value, decode(field.hidden) if field.hidden else None, field.name)
    if faults:
        raise _Unread(f"{faults[0].path}: {faults[0].problem}")
    return value


def _moment(text: str) -> str:
    """Return the text of a line; a moment that tells no zone is none, and refused with advice."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return text  # no moment, or none that is written so: the schema's format decides
    if "T" in text.strip().upper() and moment.tzinfo is None:
        raise _Unread(f"add its zone: {text.strip()}Z for UTC, or an offset as +01:00")
    return text.strip()


def settled(shown: list[Field]) -> list[Field]:
    """Return the fields, each with what it stands for exactly, where what it shows is less."""
    return [_settled(field) for field in shown]


def _settled(field: Field) -> Field:
    bare = replace(field, exact="")
    if not field.exact:
        return field
    try:
        told = _read(bare, {field.key: browsers(field.value, field.kind)})
    except _Unread:
        return field
    return bare if json.dumps(told) == json.dumps(decode(field.exact)) else field


def form(schema: Mapping[str, Any], value: Mapping[str, Any] | None = None) -> list[Field]:
    """Return the form of a schema as it is shown: untouched, it gives back exactly what it was
    made from."""
    return settled(fields(schema, value))


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
        name = _property(fault.path, names, root)
        if name is not None:
            wrong[name] = f"{wrong[name]}; {fault.problem}" if name in wrong else fault.problem
        else:
            rest.append(str(fault))
    return [_as_typed(field, typed, wrong.get(field.name, "")) for field in shown], rest


def _property(path: str, names: set[str], root: str) -> str | None:
    """Return the property that a path is about: the path of the fields' own faults is its name."""
    if path in names:
        return path
    for name in names:
        whole = member(root, name)
        if path == whole or path.startswith((f"{whole}.", f"{whole}[")):
            return name
    return None


def _as_typed(field: Field, typed: Mapping[str, Any], wrong: str) -> Field:
    text = _typed(field, typed)
    if field.kind == "boolean":
        return replace(field, checked=bool(text), wrong=wrong)
    meaning = str(typed.get(field.key + MEANING) or field.empty)
    if text == browsers(field.value, field.kind):
        return replace(field, wrong=wrong, empty=meaning)
    return replace(field, value=text, exact="", empty=meaning, wrong=wrong)


def read_json(text: str, original: Any = None) -> tuple[Any, list[Fault]]:
    """Return the value of JSON text, or what is wrong with it.

    Args:
        text: as it was typed.
        original: what masks in the text stand for.
    """
    try:
        value = decode_strict(text or "{}")
    except PayloadError as error:
        if error.path:
            return None, [Fault(error.path, error.problem, error.hint)]
        return None, [Fault("", error.message.replace("the text is", "this is", 1), error.hint)]
    value, faults = unmasked(value, original)
    return (None, faults) if faults else (value, [])


def to_json(
    schema: Mapping[str, Any], shown: list[Field], typed: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return what was typed into a form as JSON text, and what masks in it stand for.

    Nothing is lost: what cannot be read is there as text.
    """
    value, faults = read(shown, typed)
    unread = {fault.path for fault in faults}
    for field in shown:
        if field.name in unread and (text := _typed(field, typed)):
            value[field.name] = text
    return json_text(schema, value), value


def to_form(schema: Mapping[str, Any], value: Any) -> tuple[list[Field], list[Fault]]:
    """Return the form that shows a value, and what of it the form cannot show."""
    if not isinstance(value, dict):
        return [], [Fault("", "the form shows an object only")]
    shown = form(schema, value)
    names = {field.name for field in shown}
    unknown = [Fault(name, "the form has no field for it") for name in value if name not in names]
    return shown, unknown + [
        Fault(field.name, "its field cannot show this value")
        for field in shown
        if field.name in value and not _is_shown(field, value[field.name])
    ]


def _is_shown(field: Field, value: Any) -> bool:
    if field.kind == "boolean":
        return isinstance(value, bool)
    typed = {
        field.key: browsers(field.value, field.kind),
        field.key + MEANING: field.empty,
    }
    try:
        return json.dumps(_read(field, typed)) == json.dumps(value)
    except _Unread:
        return isinstance(value, str) and field.kind != "choice"
