"""The number rule, comparison and the caps: what every value in an expression obeys.

Numbers are JSON numbers. Two integers are added, subtracted and multiplied exactly; everything
else is computed in doubles; a result without a fraction is an integer. So 12 and 12.0 always
give the same, `3 / 2` is 1.5, `4 / 2` is 2, and nothing wraps: beyond 64 bits is an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.codec import MAX_INTEGER, MIN_INTEGER
from engine.errors import ExpressionError

BUDGET = 2_000_000  # units of work one evaluation may use: about a second
MAX_TEXT = 1_000_000  # characters of one string made by an expression
_EXACT = 2.0**53  # above it a double no longer holds every integer


class OverBudget(ExpressionError):
    """More work than there may be."""


class Budget:
    """What is left of an evaluation's work; passing it is an error, never a hang."""

    __slots__ = ("left",)

    def __init__(self, units: int | None = None) -> None:
        self.left = BUDGET if units is None else units

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise OverBudget(
                "the expression needs too much work for this data", hint="use a python step"
            )


def kind(value: Any) -> str:
    """Return the word for the type of ``value``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, datetime):
        return "timestamp"
    return "duration" if isinstance(value, timedelta) else type(value).__name__


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a number (booleans are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def settle(value: float) -> int | float:
    """Return ``value`` as an integer when it has no fraction.

    Raises:
        ExpressionError: when it is no number any more, or beyond 64 bits as an integer.
    """
    if isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise ExpressionError("the result is beyond 64 bits", hint="write double(x) first")
        return value
    if not math.isfinite(value):
        raise ExpressionError("the result is not a finite number", hint="check for zero first")
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def combine(operator: str, left: Any, right: Any, budget: Budget) -> Any:
    """Return ``left operator right`` for ``+ - * / %``.

    Raises:
        ExpressionError: for types that do not combine, for zero, for results past the caps.
    """
    if is_number(left) and is_number(right):
        return settle(_compute(operator, left, right))
    if operator == "+":
        return _join(left, right, budget)
    if operator == "-" and isinstance(left, datetime | timedelta):
        return _shift(left, right, -1)
    raise _mismatch(operator, left, right)


def _compute(operator: str, left: float, right: float) -> float:
    if operator in "/%" and right == 0:
        raise ExpressionError("a number is divided by zero", hint="check with a ? b : c first")
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return _divide(left, right)
            case _:
                return _remainder(left, right)
    except OverflowError:
        return math.inf


def _divide(left: float, right: float) -> float:
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return left / right


def _remainder(left: float, right: float) -> float:
    """Return what is left over, with the sign of ``left``, as CEL and C do."""
    if isinstance(left, int) and isinstance(right, int):
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return math.fmod(left, right)


def _join(left: Any, right: Any, budget: Budget) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return capped(left + right if len(left) + len(right) <= MAX_TEXT else None, budget)
    if isinstance(left, list) and isinstance(right, list):
        budget.spend(len(left) + len(right))
        return left + right
    if isinstance(right, datetime):
        left, right = right, left
    if isinstance(left, datetime | timedelta):
        return _shift(left, right, 1)
    raise _mismatch("+", left, right)


def _shift(left: datetime | timedelta, right: Any, sign: int) -> datetime | timedelta:
    try:
        if isinstance(right, timedelta):
            return left + sign * right
        if sign < 0 and isinstance(left, datetime) and isinstance(right, datetime):
            return left - right
    except OverflowError:
        raise ExpressionError("the time is out of range", hint="use a shorter duration") from None
    raise _mismatch("+" if sign > 0 else "-", left, right)


def capped(text: str | None, budget: Budget) -> str:
    """Return ``text``, charged by its length; None stands for one that would be too long."""
    if text is None or len(text) > MAX_TEXT:
        raise ExpressionError(f"a string grew over {MAX_TEXT:,} characters", hint="use Python")
    budget.spend(1 + len(text) // 64)
    return text


def same(left: Any, right: Any, budget: Budget) -> bool:
    """Return whether two values are equal: numbers by value, types never mixed."""
    budget.spend(1)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        budget.spend(len(left) // 64)
        return left == right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(
            same(value, right[key], budget) for key, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            same(one, other, budget) for one, other in zip(left, right, strict=True)
        )
    return bool(left == right)


def less(operator: str, left: Any, right: Any) -> bool:
    """Return ``left operator right`` for ``< <= > >=``.

    Raises:
        ExpressionError: for types without an order.
    """
    ordered = ("number", "string", "timestamp", "duration", "boolean")
    if kind(left) != kind(right) or kind(left) not in ordered:
        raise _mismatch(operator, left, right)
    match operator:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)


def contains(container: Any, value: Any, budget: Budget) -> bool:
    """Return ``value in container``: an entry of a list, a key of an object."""
    if isinstance(container, Mapping):
        return isinstance(value, str) and value in container
    if isinstance(container, list):
        return any(same(entry, value, budget) for entry in container)
    raise ExpressionError(
        f"'in' looks into a list or an object, not into a {kind(container)}",
        hint="for strings write a.contains(b)",
    )


def export(value: Any, budget: Budget) -> Any:
    """Return ``value`` as JSON has it; shared parts are charged each time they appear."""
    budget.spend(1)
    if isinstance(value, str):
        budget.spend(len(value) // 64)
    elif isinstance(value, float):
        return value
    elif isinstance(value, list):
        return [export(entry, budget) for entry in value]
    elif isinstance(value, Mapping):
        return {key: export(entry, budget) for key, entry in value.items()}
    elif isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    elif isinstance(value, timedelta):
        return settle(value.total_seconds())
    return value


def _mismatch(operator: str, left: Any, right: Any) -> ExpressionError:
    kinds = {kind(left), kind(right)}
    hint = "write string(x) around the other" if "string" in kinds and operator == "+" else ""
    if "null" in kinds:
        hint = "check for null first: a != null ? … : …"
    return ExpressionError(
        f"'{operator}' does not work between a {kind(left)} and a {kind(right)}", hint=hint
    )
