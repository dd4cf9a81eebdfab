"""A workflow's graph as SVG, laid out in Python."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components.graph_layout import HEIGHT, WIDTH


def graph(state: Any) -> rx.Component:
    """Return the drawing that ``state`` holds as ``nodes``, ``edges``, ``width``, ``height``."""
    return rx.el.div(
        rx.el.svg(
            rx.foreach(state.edges, lambda path: rx.el.path(d=path)),
            rx.foreach(state.nodes, _node),
            width=state.width,
            height=state.height,
            role="img",
            custom_attrs={"aria-label": "Graph of the steps, from left to right"},
        ),
        class_name="graph",
        tab_index=0,
    )


def _node(node: Any) -> rx.Component:
    return rx.el.svg.g(
        rx.el.svg.title(node.name, ", ", node.uses),
        rx.el.rect(x=node.x, y=node.y, width=WIDTH, height=HEIGHT, rx=8),
        rx.el.text(node.label, x=node.x + 11, y=node.y + 19),
        rx.el.text(node.uses, x=node.x + 11, y=node.y + 35, class_name="uses"),
        class_name=node.status,
    )
