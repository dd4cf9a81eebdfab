"""Which events run, and for whom. Denied unless named here: Reflex itself denies nothing."""

from __future__ import annotations

import logging
from typing import Any

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

from engine_app.db_access import in_thread
from engine_app.states.approvals import ApprovalsState
from engine_app.states.base import ident_of, session_of, viewer_of
from engine_app.states.execution import ExecutionState
from engine_app.states.monitoring import MonitoringState
from engine_app.states.rerun import RerunState
from engine_app.states.workflow import WorkflowState
from engine_app.states.workflows import WorkflowsState

_log = logging.getLogger(__name__)

_LONGEST_NAME = 200
_Rule = tuple[type[BaseState], tuple[str, ...]]

# Reflex's own, as the pages send them.
_REFLEXS: tuple[_Rule, ...] = (
    (State, ("hydrate_and_load",)),
    (OnLoadInternalState, ("on_load_internal",)),
    (FrontendEventExceptionState, ("handle_frontend_exception",)),
)
# Ours: each asks the database for the viewer's own rows only.
_OURS: tuple[_Rule, ...] = (
    (MonitoringState, ("look_again", "search", "pick_status", "pick_workflow", "replay")),
    (ApprovalsState, ("look_again", "answer", "open_ask", "tell_end", "dismiss")),
    (
        ExecutionState,
        (
            "look_again",
            "select_step",
            "select_item",
            "find_item",
            "turn_items",
            "only_items",
            "find_steps",
            "only_steps",
            "turn_steps",
            "read_log",
            "turn_log",
            "refill_logs",
            "refill_events",
            "cancel",
            "pause",
            "resume",
            "retry",
            "answer",
            "open_ask",
            "tell_end",
            "dismiss",
            "recall",
        ),
    ),
    (RerunState, ("open", "pick_step", "pick_version", "edit", "type_input", "start")),
    (WorkflowsState, ("look_again", "search")),
    (WorkflowState, ("look_again", "run", "recall")),
)
# What these lead to, and no client says: a page that loads is watched until it is left. Sent by
# hand, a watcher would belong to no page, and go on when its tab is gone.
_LED_TO: tuple[_Rule, ...] = (
    (State, ("set_is_hydrated",)),
    (OnLoadInternalState, ("set_is_hydrated",)),
    (MonitoringState, ("watch",)),
    (ApprovalsState, ("watch",)),
    (ExecutionState, ("watch",)),
    (WorkflowsState, ("watch",)),
    (WorkflowState, ("watch",)),
)
# Never: they would let a client write any variable of its tab, or draw it as it was.
_SHUT: tuple[_Rule, ...] = (
    (UpdateVarsInternalState, ("update_vars_internal",)),
    (State, ("hydrate",)),
)


def _names(rules: tuple[_Rule, ...]) -> frozenset[str]:
    return frozenset(
        format_event_handler(state.event_handlers[name]) for state, names in rules for name in names
    )


FROM_CLIENTS, LED_TO, SHUT = _names(_REFLEXS + _OURS), _names(_LED_TO), _names(_SHUT)


def log_refusal(name: Any) -> None:
    """Log that an event was refused, by its name only: the rest of it is nobody's to read."""
    told = ascii(name)[:_LONGEST_NAME] if isinstance(name, str) else f"a {type(name).__name__}"
    _log.warning("refused an event that no rule names: %s", told)


class Gate(Middleware):
    """Lets an event run that a rule names, for a session that is valid now.

    What a client sends has passed ``engine_app.channel`` before; what that leads to only this.
    """

    async def preprocess(self, app: App, state: BaseState, event: Event) -> StateUpdate | None:
        """Return None to let the event through, else what to send instead of running it."""
        if event.name not in FROM_CLIENTS | LED_TO:
            log_refusal(event.name)
            return StateUpdate()
        session = session_of(state)
        if session is not None and await in_thread(lambda: viewer_of(session)) is not None:
            return None
        app.event_namespace.shut(ident_of(state))  # type: ignore[union-attr]  # see engine_app.channel
        return StateUpdate()
