"""A document that was found right, as what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.codec import encode
from engine.definition.model import Definition
from engine.definition.normal import content_hash
from engine.definition.text import MAX_TEXT
from engine.errors import TooLarge


@dataclass(frozen=True, slots=True)
class Checked:
    """Plain values, so that another process can have made them."""

    name: str
    document: str  # JSON
    content_hash: str
    steps: tuple[str, ...]
    input_schema: dict[str, Any]


def checked(definition: Definition) -> Checked:
    """Return what is kept of a definition.

    Raises:
        TooLarge: the document is over 16 MB as JSON.
    """
    text = encode(definition.document)
    if len(text.encode()) > MAX_TEXT:
        raise TooLarge(f"the document of {definition.name} is over {MAX_TEXT:,} bytes")
    return Checked(
        definition.name,
        text,
        content_hash(definition.document),
        tuple(step.name for step in definition.steps),
        definition.input_schema,
    )
