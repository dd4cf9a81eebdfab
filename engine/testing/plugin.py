"""The pytest plugin: the fixture ``harness``. It loads the engine when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from engine.testing.harness import Harness


@pytest.fixture
def harness() -> Iterator[Harness]:
    """An engine of this test's own: runs workflows in this process, on a clock of its own."""
    from engine.testing.harness import Harness  # noqa: PLC0415  # every pytest run loads us

    with Harness() as opened:
        yield opened
