"""The workflows that the manual of the language shows in Python."""

from __future__ import annotations

from typing import Any

from engine import registry
from engine.definition import Definition
from tests.support.documents import blocks

MANUAL = "docs/workflows.md"


def written_in_python() -> dict[str, Definition]:
    """Return the workflows of the manual's Python by name, read as the module ``shop``.

    They and their functions are registered: keep the registry for yourself.
    """
    module: dict[str, Any] = {"__name__": "shop"}
    for block in blocks(MANUAL):
        if block.language == "python":
            exec(block.text, module)
    return {definition.name: definition for definition in registry.workflows()}
