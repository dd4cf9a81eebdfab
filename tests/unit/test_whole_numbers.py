"""A whole number arrives as one, however it was written, and never as what cannot be kept."""

from __future__ import annotations

from typing import Any

import pytest

from engine.codec import encode
from engine.definition import check_input, parse
from engine.errors import EngineError

LIST = {"type": "array", "items": {"type": "integer"}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "many": LIST}}
STEP = {"uses": "transform", "with": {"value": 1}}
DEFINITION = parse({"name": "a", "input": SCHEMA, "steps": {"a": STEP}})


@pytest.mark.parametrize(
    ("given", "arrives"),
    [(1.0, "1"), (-0.0, "0"), (1e18, "1000000000000000000"), (1e300, "1e300"), (2.0**63, "9")],
)
def test_a_whole_number_arrives_as_what_can_be_kept(given: float, arrives: str) -> None:
    found: Any = check_input(DEFINITION, {"n": given, "many": [given]})
    assert encode(found["n"]).startswith(arrives)
    assert type(found["n"]) is (int if abs(given) < 2**63 else float)
    assert found["many"] == [found["n"]]


@pytest.mark.parametrize("given", [10**5000, -(10**5000), 2**63], ids=["huge", "far below", "next"])
def test_an_integer_beyond_64_bits_is_refused_in_the_engines_own_words(given: int) -> None:
    with pytest.raises(EngineError, match=r"input\.n is an integer beyond 64 bits"):
        check_input(DEFINITION, {"n": given})
