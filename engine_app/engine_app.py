"""The web app: pages, API and live channel behind one port."""

from __future__ import annotations

import reflex as rx
from starlette.types import ASGIApp

from engine.definition import check_elsewhere
from engine.settings import current
from engine_app.api import build_api
from engine_app.api.middleware import SecurityHeaders
from engine_app.auth.places import allowed_origins
from engine_app.auth_redirect import Door
from engine_app.channel import Channel
from engine_app.checks import Checks
from engine_app.components.shell import failed_page
from engine_app.db_access import client
from engine_app.development import page_origins
from engine_app.event_allowlist import Gate
from engine_app.handshake import Handshake, session_of_cookies
from engine_app.pages import approvals, execution, monitoring, not_found, workflow, workflows
from engine_app.pages import login as door
from engine_app.pubsub import hub
from engine_app.states.approvals import ApprovalsState
from engine_app.states.execution import ExecutionState
from engine_app.states.monitoring import MonitoringState
from engine_app.states.workflow import WorkflowState
from engine_app.states.workflows import WorkflowsState
from engine_app.tabs import tabs


def _with_api(pages: ASGIApp) -> ASGIApp:
    """Return the API with the pages behind it."""
    # Not those of Reflex's configuration: where it finds none it trusts everybody.
    origins = allowed_origins(current()) | page_origins(rx.config.get_config())
    checks = Checks()
    check_elsewhere(checks.input)
    api = build_api(client(), origins, tabs.over, checks)
    door = Door(pages, _addresses(), session_of_cookies)
    api.mount("", SecurityHeaders(Handshake(door, origins), api=False))
    return api


def _addresses() -> list[str]:
    """Return the address of every page that was added below."""
    return ["/" + page.removeprefix("index") for page in app._unevaluated_pages]


async def _listen() -> None:
    """Hand on the live channel for as long as the server runs."""
    channel.open()
    await hub.listen(current().redis)


app = rx.App(
    stylesheets=["/app.css"],
    reset_style=False,
    html_lang="en",
    head_components=[
        rx.el.link(rel="icon", href="/favicon.svg", type="image/svg+xml"),
        rx.el.meta(name="color-scheme", content="light dark"),
    ],
    # Not Reflex's overlays: the connection mark says it, in words, where one looks for it.
    app_wraps={(55, "ErrorBoundary"): failed_page},
    toaster=None,
    api_transformer=_with_api,
)
app.add_middleware(Gate())
channel = Channel(app, tabs)
# Reflex makes its own and takes no other: ours stands in its place from before the first socket.
app._event_namespace = channel
app.sio.register_namespace(channel)  # type: ignore[union-attr]  # there is one: the app has states
app.register_lifespan_task(_listen)

_NAME = "Execution Engine"
app.add_page(monitoring.page, "/", title=_NAME, on_load=rx.redirect("/monitoring", replace=True))
app.add_page(door.page, "/login", title=f"Sign in · {_NAME}")
app.add_page(
    monitoring.page, "/monitoring", title=f"Monitoring · {_NAME}", on_load=MonitoringState.watch
)
app.add_page(
    approvals.page, "/approvals", title=f"Approvals · {_NAME}", on_load=ApprovalsState.watch
)
app.add_page(
    execution.page, "/executions/[id]", title=f"Execution · {_NAME}", on_load=ExecutionState.watch
)
app.add_page(
    workflows.page, "/workflows", title=f"Workflows · {_NAME}", on_load=WorkflowsState.watch
)
app.add_page(
    workflow.page, "/workflows/[id]", title=f"Workflow · {_NAME}", on_load=WorkflowState.watch
)
app.add_page(not_found.page, "/404", title=f"Not found · {_NAME}")
