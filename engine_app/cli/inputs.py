"""The input of an execution, as people type it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.codec import decode
from engine.definition import MAX_INPUT, Typed
from engine.errors import EngineError, Fault, InvalidError, InvalidInput
from engine_app.cli.local import read_text


def parse_input(given: Iterable[str]) -> dict[str, Any]:
    """Return the input made of ``KEY=VALUE``, ``KEY=@FILE``, ``@FILE`` and ``{JSON}``, later ones
    on top.

    What a value stands for is read when its schema is there: JSON where that fits, else text.

    Raises:
        InvalidInput: one of them is none of the four, or a file cannot be read; each is named.
    """
    merged: dict[str, Any] = {}
    faults = []
    for part in given:
        try:
            merged |= _one(part)
        except ValueError as error:
            faults.append(Fault(part[:60], str(error)))
        except InvalidError as error:
            faults.append(Fault(part[:60], error.message, error.hint))
    if faults:
        raise InvalidInput("the input cannot be understood", faults=faults)
    return merged


def parse_value(given: str, name: str) -> Any:
    """Return the value that ``given`` is as JSON, or that the file behind ``@`` holds.

    Raises:
        InvalidInput: it is no JSON; ``name`` says whose it is.
    """
    try:
        return _json(_file(given[1:]) if given.startswith("@") else given)
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}", hint="text stands in double quotes") from None


def _one(part: str) -> dict[str, Any]:
    if part.startswith(("@", "{")):
        found = _json(_file(part[1:]) if part.startswith("@") else part)
        if not isinstance(found, dict):
            raise ValueError("this must be a JSON object")
        return found
    key, found_equals, value = part.partition("=")
    if not found_equals or not key:
        raise ValueError("write KEY=VALUE, KEY=@FILE, @FILE or a JSON object")
    return {key: Typed(_content(key, value[1:]) if value.startswith("@") else value)}


def _content(key: str, path: str) -> str:
    try:
        return _file(path)
    except InvalidError as error:
        hint = f"""a text that begins with @ stands in double quotes: '{key}="@{path}"'"""
        raise InvalidError(error.message, hint=hint) from None


def _file(path: str) -> str:
    return read_text(path, MAX_INPUT)


def _json(text: str) -> Any:
    try:
        return decode(text)
    except EngineError as error:
        raise ValueError(error.message) from None
