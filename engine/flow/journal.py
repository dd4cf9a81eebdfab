"""Say on the console what happened, after it has been committed: one line a fact."""

from __future__ import annotations

import logging

from engine.core.event import Event, EventType
from engine.errors import EngineError
from engine.flow.definition_cache import Versions
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.fast_path import Written

_log = logging.getLogger("engine.lifecycle")
_LEVELS = {
    # The two facts of every step that goes well, by the thousand a second: a line each would take
    # a fifth of the CPU, and hide the lines that matter. Pages and `engine show` have them.
    EventType.STEP_STARTED: logging.DEBUG,
    EventType.STEP_COMPLETED: logging.DEBUG,
    EventType.FAILED: logging.ERROR,
    EventType.STEP_FAILED: logging.ERROR,
    EventType.STEP_RETRYING: logging.WARNING,
    EventType.STEP_CRASHED: logging.WARNING,
    EventType.STEP_UNKNOWN: logging.WARNING,
}


class Journal:
    """Logs the facts of committed turns, with the names that people know."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def tell(self, tx: ExecutionTx | Written) -> None:
        """Log each event of a transaction that has committed."""
        state = tx.state
        for fact in tx.facts:
            level = _LEVELS.get(fact.type, logging.INFO)
            if not _log.isEnabledFor(level):
                continue
            fields = {"execution": state.id, "event": fact.type.value}
            fields |= self._where(state.workflow_id, state.version, fact)
            if "message" in fact.data:
                fields["error"] = f"{fact.data.get('type', '')}: {fact.data['message']}"
            _log.log(level, fact.type.value, extra={"fields": fields})

    def _where(self, workflow_id: str, version: int, fact: Event) -> dict[str, str]:
        try:
            definition = self._versions.get(workflow_id, version)
        except EngineError:
            return {"workflow": workflow_id}  # a log line is never the reason that work fails
        fields = {"workflow": definition.name}
        if fact.step is not None:
            fields["step"] = definition.steps[fact.step].name
        if fact.item is not None and fact.item >= 0:
            fields["item"] = str(fact.item)
        if fact.attempt:
            fields["attempt"] = str(fact.attempt)
        return fields
