"""Why a text is not JSON, for whoever wrote it: the line, the column and what was expected."""

from __future__ import annotations

import json
import re

_LONG = re.compile(r'"(?:[^"\\]|\\.)*+"|(\d{4301,})', re.DOTALL)  # texts are passed over
_BYTE = re.compile(r"\(byte (\d+)\)")
_EXPECTED = {
    "Expecting value": "a value was expected",
    "Expecting ',' delimiter": "a comma or the end of the list or object was expected",
    "Expecting ':' delimiter": "a colon was expected after the key",
    "Expecting property name enclosed in double quotes": "a key in double quotes was expected",
    "Extra data": "nothing was expected after the value",
    "Unterminated string starting at": "the text that begins here lacks its closing quote",
    "Invalid control character at": "a line break or control character stands within a text",
    "Invalid \\escape": "a backslash stands before something that it cannot escape",
    "Invalid \\uXXXX escape": "four hexadecimal digits were expected after \\u",
}
_TELLS_FOUND = ("Expecting", "Extra")


def why(text: str, otherwise: str) -> str:
    """Return why ``text`` is not JSON: ``line 2, column 5: a value was expected, found '}'``.

    Args:
        text: what was sent.
        otherwise: what the reader said that refused it; it names a byte, if anything.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        said = _EXPECTED.get(error.msg, error.msg[:1].lower() + error.msg[1:])
        if error.msg.startswith(_TELLS_FOUND):
            said += f", found {_found(text, error.pos)}"
        return f"line {error.lineno}, column {error.colno}: {said}"
    except RecursionError:
        return "it is nested too deep"
    except ValueError:
        return f"{_long_number(text)}a number has too many digits; send it as text"
    # Python's reader takes what JSON does not have: NaN, Infinity.
    byte = _BYTE.search(otherwise)
    if byte is None:
        return otherwise
    return f"{place(text, int(byte[1]))}: no JSON value begins like this; use null, or text"


def _long_number(text: str) -> str:
    """Return where the first number is that Python reads no more, as far as it is found."""
    found = next((match for match in _LONG.finditer(text) if match[1]), None)
    return f"{place(text, len(text[: found.start(1)].encode()))}: " if found else ""


def place(text: str, byte: int) -> str:
    """Return the line and column, from 1, of a place counted in bytes of UTF-8."""
    before = text.encode()[:byte].decode(errors="ignore")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _found(text: str, position: int) -> str:
    return repr(text[position]) if position < len(text) else "the end"
