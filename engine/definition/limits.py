"""What a document may cost: every stage is linear in what these bound."""

from __future__ import annotations

MAX_VALUES = 250_000  # texts, numbers, lists, mappings and so on, aliases and merge keys followed

_BEYOND = 10**100  # stands for any integer with more digits: refused later, with its path
_DIGITS = 100


def integer(digits: str) -> int:
    """Return the integer that decimal ``digits`` are, or one that is beyond 64 bits as they are.

    Python reads thousands of digits in quadratic time, and refuses more with words of its own.
    """
    if len(digits) <= _DIGITS:
        return int(digits)
    rest = digits.lstrip("+-0")
    if len(rest) > _DIGITS:
        return _BEYOND
    return -int(rest or "0") if digits[0] == "-" else int(rest or "0")
