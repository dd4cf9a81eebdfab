"""What holds only while somebody works on the pages, under ``reflex run``."""

from __future__ import annotations

import reflex as rx
from reflex_base.constants import CompileContext, DefaultPorts, Env
from reflex_base.environment import environment


def page_origins(config: rx.Config) -> frozenset[str]:
    """Return the origin of ``reflex run``'s page server, which stands on a port of its own.

    None at any other time: cookies do not know of ports, so what any other program serves on
    this machine could read and change everything in the name of whoever is signed in.
    """
    command, mode = environment.REFLEX_COMPILE_CONTEXT.get(), environment.REFLEX_ENV_MODE.get()
    if command != CompileContext.RUN or mode != Env.DEV:
        return frozenset()
    return frozenset({f"http://localhost:{config.frontend_port or DefaultPorts.FRONTEND_PORT}"})
