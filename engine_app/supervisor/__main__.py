"""``python -m engine_app.supervisor``: what ``engine up`` becomes."""

from __future__ import annotations

import sys

from engine.settings import current
from engine_app.supervisor.up import up


def main() -> int:
    """Run until asked to stop; return the exit code. No error shows a traceback."""
    try:
        return up(current(), reload="--reload" in sys.argv[1:])
    except Exception as error:
        # Here and not above: the command line would stay in this process and in its copies.
        from engine_app.cli import refused  # noqa: PLC0415

        return refused(error)


sys.exit(main())
