"""Small workflows of every kind, made by Hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from engine.definition import Definition, parse

FUNCTION = "tests.told"  # does what it is told to, in the runs on a real database
SIGNAL = "go"


@dataclass(frozen=True, slots=True, repr=False)
class Shape:
    """A workflow, with what its expressions will give."""

    definition: Definition
    items: dict[int, int]  # of each fan-out
    false: frozenset[int]  # the steps whose condition is false

    def __repr__(self) -> str:
        document = {key: v for key, v in self.definition.document.items() if key != "name"}
        return f"shape_of({document!r})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))

    def kind(self, step: int) -> str:
        """Return the step's type."""
        return self.definition.steps[step].uses


def shape_of(document: dict[str, Any]) -> Shape:
    """Return the shape of a document whose conditions and lists are written out."""
    definition = parse({"name": "shape", **document})
    bodies = list(document["steps"].values())
    items = {at: len(body["for_each"]) for at, body in enumerate(bodies) if "for_each" in body}
    false = frozenset(at for at, body in enumerate(bodies) if body.get("when") is False)
    return Shape(definition, items, false)


_RETRY = {"backoff": "20s", "jitter": False}


@st.composite
def _body(draw: st.DrawFn, index: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(["call", "call", "call", "each", "each", "sleep", "signal"]))
    body: dict[str, Any] = {"uses": "python", "with": {"function": FUNCTION}}
    if kind == "sleep":
        body = {"uses": "sleep", "with": {"for": "30s"}}
    if kind == "signal":
        body = {"uses": "signal", "with": {"name": SIGNAL}}
        if draw(st.booleans()):
            body["with"]["deadline"] = "60s"
    if kind == "each":
        body["for_each"] = list(range(draw(st.integers(0, 3))))
        body["max_parallel"] = draw(st.integers(1, 3))
        tolerated = draw(st.sampled_from([0, 0, 1, "50%"]))
        if tolerated:
            body["allow_failures"] = tolerated
    if kind in ("call", "each"):
        body["retry"] = {"attempts": draw(st.integers(1, 3)), **_RETRY}
        body["timeout"] = "45s"
        if draw(st.integers(0, 5)) == 0:
            body["expires"] = "40s"
    if draw(st.integers(0, 7)) == 0:
        body["when"] = draw(st.booleans())
    if index:
        before = [f"s{at}" for at in range(index)]
        body["needs"] = draw(st.lists(st.sampled_from(before), max_size=2, unique=True))
    if draw(st.integers(0, 4)) == 0:
        body["on_failure"] = "continue"
    return body


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Draw a workflow of one to four steps, some with a handler, a compensation, an end."""
    steps = {f"s{index}": draw(_body(index)) for index in range(draw(st.integers(1, 4)))}
    plain: dict[str, Any] = {"uses": "python", "with": {"function": FUNCTION}}
    document: dict[str, Any] = {"steps": steps}
    first = steps["s0"]
    if "on_failure" not in first and draw(st.integers(0, 3)) == 0:
        first["on_failure"] = {"run": "handle"}
        steps["handle"] = dict(plain)
    if draw(st.integers(0, 3)) == 0:
        first["compensate"] = "undo"
        steps["undo"] = dict(plain)
    if draw(st.integers(0, 3)) == 0:
        steps["tidy"] = {**plain, "retry": {"attempts": 2, **_RETRY}}
        document["finally"] = ["tidy"]
    if draw(st.integers(0, 5)) == 0:
        document["timeout"] = "200s"
    return shape_of(document)
