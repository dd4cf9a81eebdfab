"""What JSON Schema says of values: their types, when two are equal, and the words for them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any

from engine.codec import encode

_SHOWN = 200  # characters


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a number (true and false are not)."""
    return type(value) is int or type(value) is float


def is_whole(value: Any) -> bool:
    """Return whether ``value`` is a whole number, as 3 or 3.0."""
    return type(value) is int or (type(value) is float and value.is_integer())


TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: type(value) is bool,
    "integer": is_whole,
    "number": is_number,
    "string": lambda value: type(value) is str,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}

WORDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "object": "a mapping",
}


def word(value: Any) -> str:
    """Return the word for the type of ``value``."""
    return next((WORDS[name] for name, fits in TYPES.items() if fits(value)), "nothing")


def frozen(value: Any, spend: Callable[[int], None]) -> Hashable:
    """Return what is equal, and has the same hash, for values that are equal in JSON.

    1 and 1.0 are; 1 and true are not. ``spend`` is told of the work.
    """
    kind = type(value)
    if kind is bool:
        return ("boolean", value)
    if kind is list:
        spend(len(value))
        return ("list", *(frozen(entry, spend) for entry in value))
    if kind is dict:
        spend(len(value))
        return frozenset((key, frozen(entry, spend)) for key, entry in value.items())
    if kind is str:
        spend(len(value) // 256)
    return value  # type: ignore[no-any-return]  # a text, a number or None


def is_multiple(value: float, step: float) -> bool:
    """Return whether ``value`` is a multiple of ``step``, as they are written: 0.3 is of 0.1."""
    if type(value) is int and type(step) is int:
        return value % step == 0
    return Fraction(repr(value)) % Fraction(repr(step)) == 0


def shown(value: Any) -> str:
    """Return ``value`` as JSON, or how it begins."""
    text = encode(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
