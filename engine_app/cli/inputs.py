"""The input of an execution, as people type it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.codec import decode
from engine.errors import EngineError, Fault, InvalidInput
from engine_app.cli.local import read_text


def parse_input(given: Iterable[str]) -> dict[str, Any]:
    """Return the input made of ``KEY=VALUE``, ``@FILE`` and ``{JSON}``, later ones on top.

    A value that is JSON is taken as that, anything else as text: ``n=3`` is a number, ``n='"3"'``
    and ``name=weather`` are texts.

    Raises:
        InvalidInput: one of them is none of the three; each is named.
    """
    merged: dict[str, Any] = {}
    faults = []
    for part in given:
        try:
            merged |= _one(part)
        except ValueError as error:
            faults.append(Fault(part[:60], str(error)))
    if faults:
        raise InvalidInput("the input cannot be understood", faults=faults)
    return merged


def parse_value(given: str, name: str) -> Any:
    """Return the value that ``given`` is as JSON, or that the file behind ``@`` holds.

    Raises:
        InvalidInput: it is no JSON; ``name`` says whose it is.
    """
    try:
        return _json(read_text(given[1:]) if given.startswith("@") else given)
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}", hint="text stands in double quotes") from None


def _one(part: str) -> dict[str, Any]:
    if part.startswith(("@", "{")):
        found = _json(read_text(part[1:]) if part.startswith("@") else part)
        if not isinstance(found, dict):
            raise ValueError("this must be a JSON object")
        return found
    key, found_equals, value = part.partition("=")
    if not found_equals or not key:
        raise ValueError("write KEY=VALUE, @FILE or a JSON object")
    try:
        return {key: _json(value)}
    except ValueError:
        return {key: value}


def _json(text: str) -> Any:
    try:
        return decode(text)
    except EngineError as error:
        raise ValueError(error.message) from None
