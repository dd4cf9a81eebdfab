"""The functions an expression may call, by name. ``a.f(b)`` and ``f(a, b)`` are the same.

Regular expressions are those of RE2, as CEL has them: matched in linear time. Each function charges
for what it makes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import re2

from engine.codec import encode
from engine.errors import ExpressionError
from engine.expressions import times
from engine.expressions.values import (
    MAX_TEXT,
    Budget,
    capped,
    combine,
    export,
    is_number,
    kind,
    less,
    settle,
)

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEAN = re.compile("true|false")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER = {lower: upper for upper, lower in _LOWER.items()}
MAX_PATTERN = 256  # characters: longer ones take milliseconds to compile, on every call
MAX_REPEATS = 1_000
_COUNT = re.compile(r"(?<=[{,])\s*([0-9]+)")
Function = Callable[..., Any]
_QUIET = re2.Options()
_QUIET.log_errors = False  # else what is wrong with a user's pattern goes to the console


def call(name: str, arguments: list[Any], budget: Budget) -> Any:
    """Return what function ``name`` gives for ``arguments``.

    Raises:
        ExpressionError: for wrong arguments, naming their types and never their values.
    """
    budget.spend(1 + sum(len(value) // 64 for value in arguments if isinstance(value, str | list)))
    try:
        return FUNCTIONS[name](budget, *arguments)
    except (TypeError, ValueError, AttributeError, OverflowError):
        kinds = ", ".join(kind(value) for value in arguments)
        raise ExpressionError(f"{name}() does not work on ({kinds})", hint=HINTS[name]) from None


def _matches(budget: Budget, text: str, pattern: str) -> Any:
    if len(_is(str, pattern)) > MAX_PATTERN:
        raise ExpressionError(f"a pattern may have {MAX_PATTERN} characters", hint="shorten it")
    # Counted repetitions multiply: (a{99}){99} took 7 s on 100,000 characters.
    states = math.prod(int(count) or 1 for count in _COUNT.findall(pattern))
    if states > MAX_REPEATS:
        raise ExpressionError(f"a pattern repeats over {MAX_REPEATS} times", hint="use + or *")
    budget.spend(40 + 2 * len(pattern) + len(_is(str, text)) // 4 + states * (50 + len(text) // 20))
    return _compiled(pattern).search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error:
        raise ValueError from None


def matches(text: str, pattern: str, budget: Budget) -> bool:
    """Return whether ``pattern`` is found in ``text``, in time linear in its length.

    Raises:
        ExpressionError: the pattern is not valid, or too costly, or the budget is spent.
    """
    return bool(call("matches", [text, pattern], budget))


def _is(wanted: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise TypeError
    return value


def _size(budget: Budget, value: Any) -> int:
    return len(_is((str, list, Mapping), value))


def _string(budget: Budget, value: Any) -> str:
    plain = export(value, budget)
    if isinstance(plain, str):
        return plain
    text = encode(settle(plain) if is_number(plain) else plain)
    return capped(text, budget)


def _int(budget: Budget, value: Any) -> int | float:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, str):
        digits = _spelled(_INTEGER, value).lstrip("+-").lstrip("0") or "0"
        # Python makes no number of thousands of digits: with twenty it is beyond 64 bits already.
        number = int(digits[:20])
        return settle(-number if value[0] == "-" else number)
    return settle(math.trunc(_number(value)))


def _double(budget: Budget, value: Any) -> float:
    found = float(_spelled(_DECIMAL, value) if isinstance(value, str) else _number(value))
    if not math.isfinite(found):
        raise ExpressionError("the number is beyond what a double holds", hint="keep it as text")
    return found


def _spelled(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError
    return value


def _number(value: Any) -> Any:
    return _is((int, float), value)


def _bool(budget: Budget, value: Any) -> bool:
    return value if isinstance(value, bool) else _spelled(_BOOLEAN, _is(str, value)) == "true"


def _split(budget: Budget, text: str, separator: str) -> list[str]:
    if not separator:
        raise ValueError
    budget.spend(text.count(separator))
    return _is(str, text).split(separator)  # type: ignore[no-any-return]


def _join(budget: Budget, entries: list[Any], separator: str = "") -> str:
    budget.spend(len(_is(list, entries)))
    size = sum(len(_is(str, entry)) for entry in entries) + len(separator) * len(entries)
    return capped(separator.join(entries) if size <= 2 * MAX_TEXT else None, budget)


def _replace(budget: Budget, text: str, old: str, new: str) -> str:
    grown = len(text) + _is(str, text).count(old) * len(new)
    return capped(text.replace(old, new) if grown <= 2 * MAX_TEXT else None, budget)


def _substring(budget: Budget, text: str, start: int, end: int | None = None) -> str:
    first, last = _position(start), len(_is(str, text)) if end is None else _position(end)
    if not 0 <= first <= last <= len(text):
        raise ValueError
    return str(text[first:last])


def _position(value: Any) -> int:
    """Return a place in a text: 2.0 is one as 2 is."""
    return int(_is(int, settle(_number(value))))


def _sum(budget: Budget, entries: list[Any]) -> Any:
    budget.spend(len(_is(list, entries)))
    total: Any = 0
    for entry in entries:
        total = combine("+", total, _number(entry), budget)
    return total


def _most(operator: str) -> Function:
    def function(budget: Budget, *arguments: Any) -> Any:
        entries = arguments[0] if len(arguments) == 1 else list(arguments)
        if not _is(list, entries):
            raise ExpressionError("min() and max() need at least one entry", hint="check size()")
        budget.spend(len(entries))
        best = entries[0]
        for entry in entries[1:]:
            if less(operator, entry, best):
                best = entry
        return best

    return function


def _rounded(function: Callable[[Any], Any]) -> Function:
    return lambda budget, value: settle(function(_number(value)))


def _half_away(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _part(take: Callable[[Any], int]) -> Function:
    return lambda budget, value: take(value)


def _text(function: Callable[..., Any]) -> Function:
    return lambda budget, *texts: function(*(_is(str, text) for text in texts))


FUNCTIONS: dict[str, Function] = {
    "size": _size,
    "string": _string,
    "int": _int,
    "double": _double,
    "bool": _bool,
    "contains": _text(str.__contains__),
    "startsWith": _text(str.startswith),
    "endsWith": _text(str.endswith),
    "lowerAscii": _text(lambda text: text.translate(_LOWER)),
    "upperAscii": _text(lambda text: text.translate(_UPPER)),
    "trim": _text(str.strip),
    "matches": _matches,
    "split": _split,
    "join": _join,
    "replace": _replace,
    "substring": _substring,
    "sum": _sum,
    "min": _most("<"),
    "max": _most(">"),
    "abs": _rounded(abs),
    "round": _rounded(_half_away),
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
    "timestamp": lambda budget, value: times.timestamp(value),
    "duration": lambda budget, value: times.duration(value),
}
FUNCTIONS |= {f"get{part}": _part(take) for part, take in times.PARTS.items()}

# How many arguments each takes, at least and at most; one by default.
ARGUMENTS: dict[str, tuple[int, float]] = dict.fromkeys(FUNCTIONS, (1, 1)) | {
    **dict.fromkeys(("contains", "startsWith", "endsWith", "matches", "split"), (2, 2)),
    "join": (1, 2),
    "replace": (3, 3),
    "substring": (2, 3),
    "min": (1, math.inf),
    "max": (1, math.inf),
}

HINTS: dict[str, str] = dict.fromkeys(FUNCTIONS, "") | {
    "size": "it takes a string, a list or an object",
    "string": "it takes one value",
    "int": "it takes a number, or a string of digits",
    "double": "it takes a number, or a string that is one",
    "contains": "it takes two strings; for lists write x in list",
    "startsWith": "it takes two strings",
    "endsWith": "it takes two strings",
    "matches": "it takes a string and a regular expression without look-around",
    "join": "it takes a list of strings and a separator",
    "split": "it takes a string and a separator",
    "substring": "it takes a string, and positions inside it",
    "sum": "it takes a list of numbers",
    "min": "it takes a list, or several values of one type",
    "max": "it takes a list, or several values of one type",
    "timestamp": "it takes a string as 2024-01-31T12:00:00Z",
    "duration": "it takes a string as 90s, 15m or 1.5h",
}
