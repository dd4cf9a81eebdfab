"""What kinds of value an expression can give, as far as that is known before any execution."""

from __future__ import annotations

from collections.abc import Callable

from engine.expressions import tree
from engine.expressions.tree import Node
from engine.expressions.values import kind

Kinds = frozenset[str] | None  # the words of `values.kind`; None when nothing is known
Known = Callable[[tuple[str | int, ...]], Kinds]

TEXT, NUMBER, BOOLEAN = frozenset({"string"}), frozenset({"number"}), frozenset({"boolean"})
LIST, OBJECT = frozenset({"list"}), frozenset({"object"})
_RESULTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("string", "replace", "substring", "trim", "lowerAscii", "upperAscii"), TEXT),
    **dict.fromkeys(("size", "int", "double", "sum", "abs", "round", "floor", "ceil"), NUMBER),
    **dict.fromkeys(("bool", "contains", "startsWith", "endsWith", "matches"), BOOLEAN),
    "join": TEXT,
    "split": LIST,
    "timestamp": frozenset({"timestamp"}),
    "duration": frozenset({"duration"}),
}
_LOGICAL = ("&&", "||", "==", "!=", "<", "<=", ">", ">=", "in")


def unknown(path: tuple[str | int, ...]) -> Kinds:
    """Return what is known of a reference when there is no document around: nothing."""
    return None


def unknown_of(known: Known) -> Kinds:
    """Return the kinds of a value of which nothing is known."""
    return None


def kinds(node: Node, known: Known = unknown) -> Kinds:
    """Return the kinds that ``node`` can give; ``known`` tells those of a reference."""
    path = tree.reference(node)
    if path is not None:
        return known(path)
    match node:
        case tree.Literal(value):
            return frozenset({kind(value)})
        case tree.Has() | tree.Unary("!", _):
            return BOOLEAN
        case tree.Binary(operator, _, _) if operator in _LOGICAL:
            return BOOLEAN
        case tree.Unary() | tree.Binary("*" | "/" | "%", _, _):
            return NUMBER
        case tree.Call(name, _):
            return NUMBER if name.startswith("get") else _RESULTS.get(name)
        case tree.Macro(loop, _, _, _):
            return LIST if loop in ("map", "filter") else BOOLEAN
        case tree.Choice(_, yes, no):
            one, other = kinds(yes, known), kinds(no, known)
            return None if one is None or other is None else one | other
        case tree.Items():
            return LIST
        case tree.Pairs():
            return OBJECT
        case _:
            return None
