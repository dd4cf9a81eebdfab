"""How Reflex builds and serves the pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import reflex as rx
from reflex_base.constants import StateManagerMode

from engine.settings import current
from engine_app.auth.places import allowed_origins
from engine_app.development import page_origins

# The quoted address of the server in the bundle: `http://localhost:8000/ping`, `ws://…/_event`.
_ADDRESS = re.compile(r"""([`"'])(http|ws)://[^/`"']+(/[^`"']*)\1""")
_settings = current()


class SameOrigin(rx.plugins.Plugin):
    """Lets one build be served from any port and host.

    Reflex writes the address it was built with into the bundle; a page served from another one
    would then open its websocket at the wrong door. The address is taken from the page instead.
    Source: https://github.com/reflex-dev/reflex/issues/5551
    """

    def pre_compile(self, **context: Any) -> None:
        """Let `reflex run`'s page server hand the API on, as if it stood on the same port."""
        context["add_modify_task"]("vite.config.js", _with_api)

    def post_build(self, **context: Any) -> None:
        """Rewrite the bundle's addresses; refuse a bundle in which there are none."""
        files = sorted(Path(context["static_dir"]).glob("assets/reflex-env-*.js"))
        texts = {file: file.read_text(encoding="utf-8") for file in files}
        fixed = {
            file: _ADDRESS.sub(r'location.origin.replace(/^http/,"\2")+"\3"', text)
            for file, text in texts.items()
        }
        if not files or fixed == texts:
            raise RuntimeError(
                "the front end names no server address: has Reflex changed its build?"
            )
        for file, text in fixed.items():
            file.write_text(text, encoding="utf-8")


def _with_api(vite: str) -> str:
    api = f"http://localhost:{_settings.port}"
    proxy = f'"/api": {{ target: "{api}", changeOrigin: true }}'
    return vite.replace("server: {", f"server: {{ proxy: {{ {proxy} }},", 1)


config = rx.Config(
    app_name="engine_app",
    # `reflex run` serves the API and the live channel here, its pages on another port.
    backend_port=_settings.port,
    backend_host=_settings.host,
    # Exact: whoever else sends a form, asks across origins or opens the live channel is refused.
    cors_allowed_origins=sorted(allowed_origins(_settings)),
    telemetry_enabled=False,
    show_built_with_reflex=False,
    # What a tab knows is rebuilt from the database: nothing of it is worth a file or a server.
    state_manager_mode=StateManagerMode.MEMORY,
    plugins=[SameOrigin()],
    disable_plugins=[rx.plugins.SitemapPlugin],
)
config.cors_allowed_origins = (*config.cors_allowed_origins, *page_origins(config))
