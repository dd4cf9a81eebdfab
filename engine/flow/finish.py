"""The end of an execution all of whose steps ended: its output, or why there is none."""

from __future__ import annotations

from typing import Any

from engine.codec import encode
from engine.core import termination
from engine.core.status import Reason
from engine.definition import Definition
from engine.errors import EngineError, StepError, Unavailable
from engine.flow.error_format import describe_error
from engine.flow.expression_scope import Scope
from engine.flow.journal import Journal
from engine.flow.outgoing import Sends
from engine.flow.transaction import carry_out, commit
from engine.store.db.database import Database
from engine.store.writes.execution_tx import ExecutionTx

_BROKEN = (Reason.TOO_LARGE, Reason.PAYLOAD_LOST)


def output_text(definition: Definition, scope: Scope) -> str | None:
    """Return the execution's output as its column holds it: JSON text, or a reference.

    None when it is the list of a fan-out, which is read from its items: never stored twice, but
    for a child, whose parent takes it from here.

    Raises:
        EngineError: the output's expression failed on the data.
        Unavailable: the database or the payload store does not answer.
    """
    if definition.output is not None:
        value = definition.output.evaluate(scope.values(definition.output.steps))
        return scope.keep_output(encode(value))
    sinks = definition.sinks
    if len(sinks) == 1 and sinks[0].for_each is not None and not scope.is_child:
        return None
    outputs: dict[str, Any] = {
        name: step["output"]
        for name, step in scope.values([sink.name for sink in sinks])["steps"].items()
    }
    return scope.keep_output(encode(outputs[sinks[0].name] if len(sinks) == 1 else outputs))


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
        told = error.reason if isinstance(error, StepError) else None
        reason = Reason(told) if told in _BROKEN else Reason.REJECTED_INPUT
        commit(
            database,
            execution_id,
            lambda tx: _fail(tx, definition, reason, cause),
            journal,
            sends,
        )
        return
    commit(database, execution_id, lambda tx: complete(tx, definition, output), journal, sends)


def complete(tx: ExecutionTx, definition: Definition, output: str | None) -> None:
    """Write the output and the end status, if all steps ended well and nobody has done it."""
    carry_out(tx, definition, termination.complete(tx.state, definition, output, now=tx.now))


def _fail(tx: ExecutionTx, definition: Definition, reason: Reason, error: str) -> None:
    plan = termination.fail_at_the_end(tx.state, definition, reason, error, now=tx.now)
    carry_out(tx, definition, plan)
