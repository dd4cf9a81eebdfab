"""The end of an execution all of whose steps ended: its output, or why there is none."""

from __future__ import annotations

from typing import Any

from engine.codec import encode
from engine.definition import Definition
from engine.errors import EngineError, Unavailable
from engine.flow.commit import commit
from engine.flow.ending import complete
from engine.flow.journal import Journal
from engine.flow.scope import Scope
from engine.flow.sends import Sends
from engine.flow.words import describe_error
from engine.machine.status import Reason
from engine.store import executions
from engine.store.database import Database
from engine.store.turn import Turn


def output_text(definition: Definition, scope: Scope) -> str | None:
    """Return the execution's output as JSON text.

    None when it is the list of a fan-out, which is read from its items: never stored twice.

    Raises:
        EngineError: the output's expression failed on the data.
    """
    if definition.output is not None:
        return encode(definition.output.evaluate(scope.values(definition.output.steps)))
    sinks = definition.sinks
    if len(sinks) == 1 and sinks[0].for_each is not None:
        return None
    outputs: dict[str, Any] = {
        name: step["output"]
        for name, step in scope.values([sink.name for sink in sinks])["steps"].items()
    }
    return encode(outputs[sinks[0].name] if len(sinks) == 1 else outputs)


def finish(
    database: Database,
    execution_id: str,
    definition: Definition,
    scope: Scope,
    *,
    journal: Journal,
    sends: Sends,
) -> None:
    """Complete the execution if all its steps ended and nobody has done it; fail it when its
    output cannot be told."""
    try:
        output = output_text(definition, scope)
    except Unavailable:
        raise  # that says nothing of the output: it is to be told again
    except EngineError as error:
        cause = encode({**describe_error(error), "step": None})

        def give_up(taken: Turn) -> None:
            if taken.head.finishable(closes=bool(definition.closing)):
                executions.fail_unplanned(taken, reason=Reason.REJECTED_INPUT, error=cause)

        commit(database, execution_id, give_up, journal, sends)
        return
    commit(
        database, execution_id, lambda taken: complete(taken, definition, output), journal, sends
    )
