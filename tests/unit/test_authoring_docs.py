"""The manual of the language shows each workflow twice: the two have to be one."""

from __future__ import annotations

from typing import Any

import pytest

from engine import registry
from engine.definition import Definition, parse_text
from tests.support.documents import blocks

MANUAL = "docs/workflows.md"


def documents() -> dict[str, Definition]:
    found = [parse_text(block.text) for block in blocks(MANUAL) if block.language == "yaml"]
    return {definition.name: definition for definition in found}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Definition]:
    """The workflows of the manual's Python, by name."""
    monkeypatch.setattr(registry, "_workflows", {})
    module: dict[str, Any] = {"__name__": "shop"}
    for block in blocks(MANUAL):
        if block.language == "python":
            exec(block.text, module)
    return {definition.name: definition for definition in registry.workflows()}


def test_each_pair_of_the_manual_is_one_workflow(written: dict[str, Definition]) -> None:
    pairs = documents()
    assert written.keys() == pairs.keys()
    assert len(pairs) == 4
    for name, made in written.items():
        for part in ("steps", "finally", "timeout", "output"):
            assert made.document.get(part) == pairs[name].document.get(part), (name, part)
        assert [*made.document["steps"]] == [*pairs[name].document["steps"]], name
        assert [*made.input_schema["properties"]] == [*pairs[name].input_schema["properties"]]


def test_the_new_pairs_of_the_manual_are_equal_to_the_last_letter(
    written: dict[str, Definition],
) -> None:
    pairs = documents()
    for name in ("book-trip", "spend", "two-reports"):
        assert written[name] == pairs[name], name
