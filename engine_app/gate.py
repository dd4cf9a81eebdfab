"""Which events a client may send. Denied unless named here: Reflex itself denies nothing."""

from __future__ import annotations

import structlog
from reflex.app import App
from reflex.event import Event
from reflex.middleware.middleware import Middleware
from reflex.state import (
    BaseState,
    FrontendEventExceptionState,
    OnLoadInternalState,
    State,
    StateUpdate,
    UpdateVarsInternalState,
)
from reflex_base.utils.format import format_event_handler

from engine_app.reading import in_thread
from engine_app.states.approvals import ApprovalsState
from engine_app.states.base import secret_of, to_login, viewer_of
from engine_app.states.execution import ExecutionState
from engine_app.states.monitoring import MonitoringState
from engine_app.states.rerun import RerunState
from engine_app.states.workflow import WorkflowState
from engine_app.states.workflows import WorkflowsState

log = structlog.get_logger(__name__)

_Rule = tuple[type[BaseState], tuple[str, ...]]

# Reflex's own: they draw the page as it is before anything is read for it.
_OPEN: tuple[_Rule, ...] = (
    (State, ("hydrate", "hydrate_and_load", "set_is_hydrated")),
    (OnLoadInternalState, ("on_load_internal", "set_is_hydrated")),
    (FrontendEventExceptionState, ("handle_frontend_exception",)),
)
# Ours: for those who are signed in; each asks the database for the viewer's own rows only.
_SIGNED_IN: tuple[_Rule, ...] = (
    (MonitoringState, ("watch", "look_again", "search", "pick_status", "pick_workflow", "replay")),
    (ApprovalsState, ("watch", "look_again", "answer", "open_ask")),
    (
        ExecutionState,
        (
            "watch",
            "look_again",
            "select_step",
            "select_item",
            "refill_logs",
            "refill_events",
            "cancel",
            "pause",
            "resume",
            "retry",
            "answer",
            "open_ask",
        ),
    ),
    (RerunState, ("open", "pick_step", "pick_version", "edit", "type_input", "start")),
    (WorkflowsState, ("watch", "look_again")),
    (WorkflowState, ("watch", "look_again", "run", "switch_to_json")),
)
# Never: they would let a client write any variable of its tab.
_SHUT: tuple[_Rule, ...] = ((UpdateVarsInternalState, ("update_vars_internal",)),)


def _names(rules: tuple[_Rule, ...]) -> frozenset[str]:
    return frozenset(
        format_event_handler(state.event_handlers[name]) for state, names in rules for name in names
    )


OPEN, SIGNED_IN, SHUT = _names(_OPEN), _names(_SIGNED_IN), _names(_SHUT)


class Gate(Middleware):
    """Lets an event through when a rule names it and, unless it is open, the session is valid."""

    async def preprocess(self, app: App, state: BaseState, event: Event) -> StateUpdate | None:
        """Return None to let the event through, else what to send instead of running it."""
        if event.name in OPEN:
            return None
        if event.name not in SIGNED_IN:
            log.warning("refused an event that no rule names", event_name=event.name[:200])
            return StateUpdate()
        secret = secret_of(state)
        if await in_thread(lambda: viewer_of(secret)) is not None:
            return None
        return StateUpdate(events=Event.from_event_type(to_login(state)))
