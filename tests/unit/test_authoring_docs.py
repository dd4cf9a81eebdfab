"""The manual of the language shows each workflow twice: the two have to be one."""

from __future__ import annotations

import pytest

from engine import registry
from engine.definition import Definition, parse_text
from tests.support.documents import blocks
from tests.support.manual import MANUAL, written_in_python


def documents() -> dict[str, Definition]:
    found = [parse_text(block.text) for block in blocks(MANUAL) if block.language == "yaml"]
    return {definition.name: definition for definition in found}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Definition]:
    monkeypatch.setattr(registry, "_workflows", {})
    return written_in_python()


def test_each_pair_of_the_manual_is_one_workflow(written: dict[str, Definition]) -> None:
    pairs = documents()
    assert written.keys() <= pairs.keys()
    assert len(written) == 4
    for name, made in written.items():
        for part in ("steps", "finally", "timeout", "output"):
            assert made.document.get(part) == pairs[name].document.get(part), (name, part)
        assert [*made.document["steps"]] == [*pairs[name].document["steps"]], name
        assert [*made.input_schema["properties"]] == [*pairs[name].input_schema["properties"]]


def test_the_pairs_about_ends_waits_and_children_are_equal_to_the_last_letter(
    written: dict[str, Definition],
) -> None:
    pairs = documents()
    for name in ("book-trip", "spend", "two-reports"):
        assert written[name] == pairs[name], name
