"""What is wrong with an expression whatever the data: told with the document, not by a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

from engine.errors import ExpressionError
from engine.expressions import tree
from engine.expressions.evaluate import Frame, build
from engine.expressions.functions import ARGUMENTS, HINTS, call
from engine.expressions.kinds import BOOLEAN, kinds
from engine.expressions.tree import Node
from engine.expressions.values import Budget, OverBudget, export, kind


def check(node: Node, *, work: int) -> None:
    """Refuse what can give no value, whatever the data.

    Constants that need more than ``work`` units are not judged.

    Raises:
        ExpressionError: a function gets too many or too few arguments, a constant has no value,
            what has to be true or false never is, a key is doubled or no text, an index is none.
    """
    for part in tree.walk(node):
        match part:
            case tree.Call(name, arguments):
                _check_call(name, arguments)
            case tree.Pairs(pairs):
                _check_keys([key for key, _ in pairs])
            case tree.Index(_, tree.Literal(key)):
                _check_index(key)
            case tree.Unary("!", operand):
                _check_truth("!", operand)
            case tree.Binary("&&" | "||" as operator, left, right):
                _check_truth(operator, left)
                _check_truth(operator, right)
            case tree.Choice(condition, _, _):
                _check_truth("?", condition)
            case tree.Macro("filter" | "all" | "exists" | "exists_one" as loop, _, _, body):
                _check_truth(loop, body)
    budget = Budget(work)
    for part in _constants(node):
        _check_constant(part, budget)


def _check_call(name: str, arguments: tuple[Node, ...]) -> None:
    least, most = ARGUMENTS[name]
    if not least <= len(arguments) <= most:
        wanted = f"{least}" if least == most else f"{least} or more"
        wanted = f"{least} to {most}" if least < most < math.inf else wanted
        raise ExpressionError(
            f"{name}() takes {wanted} argument{'s' * (wanted != '1')}, not {len(arguments)}",
            hint=HINTS[name],
        )
    if name == "matches" and isinstance(arguments[1], tree.Literal):
        call(name, ["", arguments[1].value], Budget())


def _check_keys(keys: list[Node]) -> None:
    seen = set()
    for key in keys:
        if not isinstance(key, tree.Literal):
            continue
        if not isinstance(key.value, str):
            raise ExpressionError(f"a key is a {kind(key.value)}", hint="write {'key': value}")
        if key.value in seen:
            raise ExpressionError(f"the key '{key.value[:80]}' is given twice", hint="keep one")
        seen.add(key.value)


def _check_index(key: object) -> None:
    fraction = isinstance(key, float) and not key.is_integer()
    if fraction or isinstance(key, bool) or not isinstance(key, str | int | float):
        raise ExpressionError(f"{key!r} cannot choose an entry", hint="write a[0] or a['key']")
    if not isinstance(key, str) and key < 0:
        raise ExpressionError(
            f"there is no entry at {key:g}: they count from 0", hint="write a[size(a) - 1] for last"
        )


def _check_truth(operator: str, operand: Node) -> None:
    found = kinds(operand)
    if found is not None and not found & BOOLEAN:
        raise ExpressionError(
            f"'{operator}' needs true or false, not a {' or '.join(sorted(found))}",
            hint="compare with == or !=",
        )


def _constants(node: Node) -> Iterator[Node]:
    """Yield the largest parts of ``node`` that no data goes into."""
    stack = [node]
    while stack:
        part = stack.pop()
        if any(isinstance(inner, tree.Name) for inner in tree.walk(part)):
            stack.extend(tree.children(part))
        elif not isinstance(part, tree.Literal):
            yield part


def _check_constant(node: Node, budget: Budget) -> None:
    frame = Frame({}, budget)
    with suppress(OverBudget, RecursionError):
        export(build(node)(frame), budget)
