"""What a step run waits for is written and read in one place."""

from __future__ import annotations

import pytest

from engine.core.pending_input import Kind, PendingInput


@pytest.mark.parametrize(
    ("awaited", "word"),
    [
        (PendingInput(Kind.TIME), None),
        (PendingInput(Kind.SIGNAL, "paid", "order 7"), "signal:paid:order 7"),
        (PendingInput(Kind.SIGNAL, "go"), "signal:go:"),
        (PendingInput(Kind.SIGNAL, "go", "a:b"), "signal:go:a:b"),
        (PendingInput(Kind.APPROVAL), "approval"),
        (PendingInput(Kind.CHILD), "workflow"),
    ],
)
def test_a_word_is_read_as_it_was_written(awaited: PendingInput, word: str | None) -> None:
    assert awaited.word == word
    assert PendingInput.of(word) == awaited
