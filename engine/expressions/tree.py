"""What an expression is made of, and how to walk it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    value: object


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    target: Node
    field: str


@dataclass(frozen=True, slots=True)
class Index:
    target: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Has:
    target: Node
    field: str


@dataclass(frozen=True, slots=True)
class Call:
    """``f(a, b)``, or ``a.f(b)``: in both, ``arguments`` begin with ``a``."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Macro:
    """A loop: ``target.kind(variable, body)``."""

    kind: str
    target: Node
    variable: str
    body: Node


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Choice:
    condition: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class Items:
    entries: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    entries: tuple[tuple[Node, Node], ...]


Node = (
    Literal | Name | Select | Index | Has | Call | Macro | Unary | Binary | Choice | Items | Pairs
)


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes right under ``node``, in the order they are written."""
    match node:
        case Select(target, _) | Has(target, _):
            return (target,)
        case Index(target, key):
            return (target, key)
        case Call(_, arguments):
            return arguments
        case Macro(_, target, _, body):
            return (target, body)
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Choice(condition, yes, no):
            return (condition, yes, no)
        case Items(entries):
            return entries
        case Pairs(pairs):
            return tuple(part for pair in pairs for part in pair)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield ``node`` and every node under it."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(children(current))


def height(node: Node) -> int:
    """Return how many nodes lie on the longest way down."""
    deepest, stack = 0, [(node, 1)]
    while stack:
        current, level = stack.pop()
        deepest = max(deepest, level)
        stack.extend((child, level + 1) for child in children(current))
    return deepest


def loop_depth(node: Node) -> int:
    """Return how many loops run inside one another at most."""
    deepest, stack = 0, [(node, 0)]
    while stack:
        current, level = stack.pop()
        if isinstance(current, Macro):
            deepest = max(deepest, level + 1)
            stack += [(current.target, level), (current.body, level + 1)]
        else:
            stack.extend((child, level) for child in children(current))
    return deepest


def reference(node: Node) -> tuple[str | int, ...] | None:
    """Return the segments of a plain reference (``steps.a.output[0]``), or None for others."""
    segments: list[str | int] = []
    while True:
        match node:
            case Name(name):
                return (name, *reversed(segments))
            case Select(target, field):
                segments.append(field)
                node = target
            case Index(target, Literal(str() | int() as key)) if type(key) is not bool:
                segments.append(key)
                node = target
            case _:
                return None


def references(node: Node, bound: frozenset[str] = frozenset()) -> Iterator[tuple[str | int, ...]]:
    """Yield every plain reference in ``node``, as long as it reaches, but for loop variables."""
    whole = reference(node)
    if whole is not None:
        if whole[0] not in bound:
            yield whole
        return
    if isinstance(node, Has):
        inner = reference(Select(node.target, node.field))
        if inner is not None:
            if inner[0] not in bound:
                yield inner
            return
    if isinstance(node, Macro):
        yield from references(node.target, bound)
        yield from references(node.body, bound | {node.variable})
        return
    for child in children(node):
        yield from references(child, bound)
