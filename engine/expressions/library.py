"""The `cel` library without its command line.

It imports that too, and with it a toolkit for terminals: 11 MB in every worker, and a tenth of a
second at the start of every process of a step's own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["cel"]

_COMMAND_LINE = "cel.cli"


def _load() -> ModuleType:
    """Return ``cel``. Whoever imports ``cel.cli`` afterwards gets the real one."""
    if _COMMAND_LINE in sys.modules:
        return import_module("cel")
    sys.modules[_COMMAND_LINE] = ModuleType(_COMMAND_LINE)
    try:
        return import_module("cel")
    finally:
        del sys.modules[_COMMAND_LINE]


if TYPE_CHECKING:
    import cel
else:
    cel = _load()
