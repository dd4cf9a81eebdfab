"""Places for the nodes and edges of a workflow's graph. Pure.

Longest path gives the column, then two sweeps move each node near the middle of its neighbours:
enough for graphs that people write by hand, in linear time for those that programs write.
Source: K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical
System Structures" (1981), its layering and barycentre steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 132, 44
_GAP_X, _GAP_Y = 30, 14
_MARGIN = 2
_LETTERS = 16  # of a name that fit in a node


@dataclass(frozen=True)
class Node:
    """A step as a box; x and y are its upper left corner in pixels."""

    name: str
    label: str
    uses: str
    x: int
    y: int
    status: str = ""


@dataclass(frozen=True)
class Graph:
    """A drawing; edges are SVG paths."""

    nodes: list[Node]
    edges: list[str]
    width: int
    height: int


def layout(steps: Sequence[tuple[str, str, Sequence[str]]]) -> Graph:
    """Return the drawing of steps given as (name, what it uses, names it needs)."""
    needs = {name: list(needed) for name, _, needed in steps}
    columns = _columns(needs)
    rows = _rows(columns, needs)
    tallest = max((len(column) for column in columns), default=1)
    uses = {name: what for name, what, _ in steps}
    nodes = {}
    for number, column in enumerate(columns):
        pad = (tallest - len(column)) * (HEIGHT + _GAP_Y) // 2
        for name in column:
            x = _MARGIN + number * (WIDTH + _GAP_X)
            y = _MARGIN + pad + rows[name] * (HEIGHT + _GAP_Y)
            nodes[name] = Node(name, _short(name), _short(uses[name]), x, y)
    edges = [_edge(nodes[need], nodes[name]) for name in nodes for need in needs[name]]
    return Graph(
        list(nodes.values()),
        edges,
        2 * _MARGIN + len(columns) * (WIDTH + _GAP_X) - _GAP_X if columns else 0,
        2 * _MARGIN + tallest * (HEIGHT + _GAP_Y) - _GAP_Y,
    )


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"


def _columns(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the names by the length of the longest path that leads to them."""
    depth: dict[str, int] = {}
    left = {name: len(needed) for name, needed in needs.items()}
    dependants = defaultdict(list)
    for name, needed in needs.items():
        for need in needed:
            dependants[need].append(name)
    ready = [name for name, count in left.items() if not count]
    for name in ready:
        depth[name] = max((depth[need] + 1 for need in needs[name]), default=0)
        for dependant in dependants[name]:
            left[dependant] -= 1
            if not left[dependant]:
                ready.append(dependant)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in needs:
        columns[depth[name]].append(name)
    return columns


def _rows(columns: list[list[str]], needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return each name's place in its column, near the middle of what it needs."""
    place: dict[str, int] = {}
    for column in columns:
        middle = {
            name: sum(place[need] for need in needs[name]) / len(needs[name])
            for name in column
            if needs[name]
        }
        column.sort(key=lambda name, middle=middle: middle.get(name, 0.0))  # type: ignore[misc]
        place.update({name: number for number, name in enumerate(column)})
    return place


def _edge(start: Node, end: Node) -> str:
    x1, y1 = start.x + WIDTH, start.y + HEIGHT // 2
    x2, y2 = end.x, end.y + HEIGHT // 2
    bend = (x1 + x2) // 2 if end.x - start.x == WIDTH + _GAP_X else x1 + _GAP_X // 2
    return f"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}"
