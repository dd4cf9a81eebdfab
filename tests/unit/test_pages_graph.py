"""The places of a graph's nodes."""

from __future__ import annotations

from engine_app.components.graph_layout import HEIGHT, WIDTH, layout


def test_a_step_stands_to_the_right_of_all_it_needs() -> None:
    graph = layout(
        [
            ("a", "python", ()),
            ("b", "python", ("a",)),
            ("c", "python", ("a", "b")),
            ("d", "python", ("a",)),
        ]
    )
    x = {node.name: node.x for node in graph.nodes}
    assert x["a"] < x["b"] == x["d"] < x["c"]
    assert len(graph.edges) == 4


def test_no_two_nodes_overlap() -> None:
    steps = [("s", "python", ()), *[(f"n{n}", "python", ("s",)) for n in range(30)]]
    places = [(node.x, node.y) for node in layout(steps).nodes]
    assert all(
        abs(x1 - x2) >= WIDTH or abs(y1 - y2) >= HEIGHT
        for number, (x1, y1) in enumerate(places)
        for x2, y2 in places[:number]
    )


def test_every_node_is_inside_the_drawing() -> None:
    graph = layout([("a", "python", ()), ("b", "python", ()), ("c", "python", ("b",))])
    assert all(node.x + WIDTH <= graph.width for node in graph.nodes)
    assert all(node.y + HEIGHT <= graph.height for node in graph.nodes)


def test_a_chain_of_ten_thousand_steps_is_laid_out() -> None:
    steps = [(f"n{n}", "python", (f"n{n - 1}",) if n else ()) for n in range(10_000)]
    assert len(layout(steps).nodes) == 10_000


def test_a_long_name_is_cut_in_its_node_only() -> None:
    [node] = layout([("a-very-long-name-of-a-step", "python", ())]).nodes
    assert node.label.endswith("…")
    assert node.name == "a-very-long-name-of-a-step"


def test_no_steps_make_an_empty_drawing() -> None:
    assert layout([]).nodes == []
