"""Tree to closures: built once per expression, called once per evaluation.

Evaluation calls nothing of the user's and reaches no Python object: only the values of the
scope, the operators of `values` and the functions of `functions`. Every loop is charged to a
budget, so no data and no expression can hold a thread for long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import ExpressionError
from engine.expressions import functions, tree, values
from engine.expressions.tree import Node
from engine.expressions.values import Budget, kind

Run = Callable[["Frame"], Any]


class Frame:
    """One evaluation: what names stand for, and the work left."""

    __slots__ = ("budget", "names")

    def __init__(self, scope: Mapping[str, Any], budget: Budget | None = None) -> None:
        self.names: dict[str, Any] = dict(scope)
        self.budget = budget or Budget()


def build(node: Node) -> Run:
    """Return a function from a `Frame` to the value of ``node``."""
    return _BUILDERS[type(node)](node)


def select(target: Any, key: str | int, where: str) -> Any:
    """Return the entry ``key`` of ``target``; ``where`` is how the expression calls it.

    Raises:
        ExpressionError: when there is none, naming types and the key asked for only.
    """
    if isinstance(key, str) and (type(target) is dict or isinstance(target, Mapping)):
        if key in target:
            return target[key]
        raise ExpressionError(f"there is no '{key}' in {where}", hint="test it with has(…) first")
    if isinstance(target, list) and isinstance(key, int) and not isinstance(key, bool):
        if 0 <= key < len(target):
            return target[key]
        raise ExpressionError(f"{where} has {len(target)} entries, none at {key}")
    if target is None:
        raise ExpressionError(f"{where} is null, so it has no {key!r}", hint="test it with has(…)")
    raise ExpressionError(f"{where} is a {kind(target)}, which has no {key!r}")


def describe(node: Node) -> str:
    """Return how ``node`` is written, when it is short to say."""
    path = tree.reference(node)
    if path is None:
        return "the value before it"
    return write(path)


def write(path: tuple[str | int, ...]) -> str:
    """Return a reference as it is written in an expression."""
    text = str(path[0])
    for key in path[1:]:
        text += f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
    return text


def _literal(node: tree.Literal) -> Run:
    value = node.value
    return lambda frame: value


def _name(node: tree.Name) -> Run:
    name = node.name

    def run(frame: Frame) -> Any:
        if name not in frame.names:
            raise ExpressionError(f"'{name}' has no value here")
        return frame.names[name]

    return run


def _select(node: tree.Select) -> Run:
    target, field, where = build(node.target), node.field, describe(node.target)
    return lambda frame: select(target(frame), field, where)


def _index(node: tree.Index) -> Run:
    target, key, where = build(node.target), build(node.key), describe(node.target)

    def run(frame: Frame) -> Any:
        found = key(frame)
        if isinstance(found, float):
            found = values.settle(found)
        if not isinstance(found, str | int) or isinstance(found, bool):
            raise ExpressionError(f"a {kind(found)} cannot choose an entry of {where}")
        return select(target(frame), found, where)

    return run


def _has(node: tree.Has) -> Run:
    target, field, where = build(node.target), node.field, describe(node.target)

    def run(frame: Frame) -> bool:
        value = target(frame)
        # The output of a skipped step is null: asking it for a field is a question, not a fault.
        if value is None:
            return False
        if not isinstance(value, Mapping):
            raise ExpressionError(f"{where} is a {kind(value)}, which has no fields")
        return field in value

    return run


def _call(node: tree.Call) -> Run:
    name, arguments = node.name, [build(argument) for argument in node.arguments]
    return lambda frame: functions.call(
        name, [argument(frame) for argument in arguments], frame.budget
    )


def _unary(node: tree.Unary) -> Run:
    operand = build(node.operand)
    if node.operator == "!":
        return lambda frame: not _truth(operand(frame), "!")

    def negate(frame: Frame) -> Any:
        value = operand(frame)
        if not values.is_number(value):
            raise ExpressionError(f"'-' does not work on a {kind(value)}")
        return values.settle(-value)

    return negate


def _binary(node: tree.Binary) -> Run:
    operator, left, right = node.operator, build(node.left), build(node.right)
    match operator:
        case "&&":
            return _either(left, right, operator, decisive=False)
        case "||":
            return _either(left, right, operator, decisive=True)
        case "==":
            return lambda frame: values.same(left(frame), right(frame), frame.budget)
        case "!=":
            return lambda frame: not values.same(left(frame), right(frame), frame.budget)
        case "in":
            return lambda frame: values.contains(right(frame), left(frame), frame.budget)
        case "<" | "<=" | ">" | ">=":
            return lambda frame: values.less(operator, left(frame), right(frame))
        case _:
            return lambda frame: values.combine(operator, left(frame), right(frame), frame.budget)


def _either(left: Run, right: Run, operator: str, *, decisive: bool) -> Run:
    """Return ``&&`` or ``||`` as CEL has them: a side that decides hides the other's error."""

    def run(frame: Frame) -> bool:
        try:
            if _truth(left(frame), operator) is decisive:
                return decisive
        except ExpressionError:
            if frame.budget.left >= 0 and _truth(right(frame), operator) is decisive:
                return decisive
            raise
        return _truth(right(frame), operator)

    return run


def _choice(node: tree.Choice) -> Run:
    condition, yes, no = build(node.condition), build(node.yes), build(node.no)
    return lambda frame: yes(frame) if _truth(condition(frame), "?") else no(frame)


def _truth(value: Any, operator: str) -> bool:
    if isinstance(value, bool):
        return value
    raise ExpressionError(
        f"'{operator}' needs true or false, not a {kind(value)}", hint="compare with == or !="
    )


def _items(node: tree.Items) -> Run:
    entries = [build(entry) for entry in node.entries]
    return lambda frame: [entry(frame) for entry in entries]


def _pairs(node: tree.Pairs) -> Run:
    entries = [(build(key), build(value)) for key, value in node.entries]

    def run(frame: Frame) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in entries:
            name = key(frame)
            if not isinstance(name, str):
                raise ExpressionError(f"a key is a {kind(name)}", hint="write {'key': value}")
            result[name] = value(frame)
        return result

    return run


def _macro(node: tree.Macro) -> Run:
    target, body, where = build(node.target), build(node.body), describe(node.target)
    finish = _LOOPS[node.kind]
    variable, macro = node.variable, node.kind
    cost = sum(1 for _ in tree.walk(node.body))

    def run(frame: Frame) -> Any:
        entries = target(frame)
        if isinstance(entries, Mapping):
            entries = list(entries)
        if not isinstance(entries, list):
            raise ExpressionError(f"{macro}() needs a list, but {where} is a {kind(entries)}")
        outer = frame.names

        def each(entry: Any) -> Any:
            frame.budget.spend(cost)
            frame.names[variable] = entry
            return body(frame)

        frame.names = dict(outer)
        try:
            return finish(entries, each)
        finally:
            frame.names = outer

    return run


_LOOPS: dict[str, Callable[[list[Any], Run], Any]] = {
    "map": lambda entries, each: [each(entry) for entry in entries],
    "filter": lambda entries, each: [e for e in entries if _truth(each(e), "filter")],
    "all": lambda entries, each: all(_truth(each(entry), "all") for entry in entries),
    "exists": lambda entries, each: any(_truth(each(entry), "exists") for entry in entries),
    "exists_one": lambda entries, each: (
        sum(_truth(each(entry), "exists_one") for entry in entries) == 1
    ),
}

_BUILDERS: dict[type, Callable[[Any], Run]] = {
    tree.Literal: _literal,
    tree.Name: _name,
    tree.Select: _select,
    tree.Index: _index,
    tree.Has: _has,
    tree.Call: _call,
    tree.Unary: _unary,
    tree.Binary: _binary,
    tree.Choice: _choice,
    tree.Items: _items,
    tree.Pairs: _pairs,
    tree.Macro: _macro,
}
