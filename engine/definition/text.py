"""Text to plain values: JSON, or YAML 1.2, of which neither can be made to explode."""

from __future__ import annotations

import json
import re
from typing import Any

from engine.codec import MAX_DEPTH
from engine.definition import yaml_text
from engine.definition.limits import MAX_VALUES, integer
from engine.errors import InvalidDocument, TooLarge

MAX_TEXT = 16_000_000  # bytes
# Also one that is never closed: looked for again behind each of its quotes it took for ever.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def read(text: str, *, limit: int = MAX_TEXT) -> Any:
    """Return the value that ``text`` (JSON or YAML) stands for.

    Raises:
        TooLarge: over ``limit`` bytes.
        InvalidDocument: neither JSON nor YAML, a key given twice, too deep, too many values.
    """
    if len(text) > limit or len(text.encode(errors="replace")) > limit:
        raise TooLarge(f"the document is over {limit} bytes", hint="move data out of it")
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] == "{":
        try:
            return _json(text)
        except json.JSONDecodeError:
            pass  # YAML also has mappings in braces; its message is the better one then
    try:
        return yaml_text.read(text, most_text=limit)
    except yaml_text.Refused as error:
        raise InvalidDocument(str(error), hint=error.hint) from None


def _json(text: str) -> Any:
    # Millions of values would take gigabytes before they can be counted.
    if _is_surely_over(text, MAX_VALUES):
        raise _too_many()
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=integer)
    except RecursionError:
        raise InvalidDocument(f"the document is nested deeper than {MAX_DEPTH} levels") from None
    if _is_over(value, MAX_VALUES):
        raise _too_many()
    return value


def _too_many() -> InvalidDocument:
    hint = "give the data as input, or let a step read it"
    return InvalidDocument(f"the document has over {MAX_VALUES:,} values", hint=hint)


def _is_surely_over(text: str, limit: int) -> bool:
    """Return whether JSON ``text`` has more values than ``limit``, or is no JSON, by its marks."""
    # One value follows each comma, and one is in each list or object that is not empty. An empty
    # one counts for two here.
    if _marks(text) <= 2 * limit:
        return False
    return _marks(_STRING.sub("", text)) > 2 * limit


def _marks(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidDocument(f"the key '{key[:80]}' is given twice", hint="remove one")
            seen.add(key)
    return result


def _is_over(value: Any, limit: int) -> bool:
    """Return whether there are more values than ``limit``, after looking at no more than that."""
    found, left = 1, [value]
    while left and found <= limit:
        entry = left.pop()
        if isinstance(entry, dict | list):
            found += len(entry)
            left.extend(entry.values() if isinstance(entry, dict) else entry)
    return found > limit
