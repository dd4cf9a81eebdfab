"""Steps whose work is done elsewhere: by an actor of the user's own, by another workflow."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from engine.authoring.calls import AnyStep
from engine.authoring.handles import Handle, refuse
from engine.authoring.options import StepOptions


def slug(text: str) -> str:
    """Return ``text`` as the name of a step."""
    return re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_") or "step"


class ActorStep(AnyStep):
    """An actor, called as a ``@step`` is; it runs in the worker that has it.

    Args:
        actor: its name there.
        signature: of its function.
        function: called instead outside of workflows; without one such a call is refused.
        name: of the step in a workflow; by default the actor's.
        **options: as ``@step`` takes them.

    Raises:
        TracingError: its arguments cannot be named in a document, or an option means nothing.
    """

    uses = "actor"
    reserved = "actor"

    def __init__(
        self,
        actor: str,
        signature: inspect.Signature,
        *,
        function: Callable[..., Any] | None = None,
        name: str | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        self.actor_name = actor
        self.fn = function
        super().__init__(name or slug(actor), signature, options)

    def outside(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the function's value."""
        if self.fn is None:
            refuse(f"actor {self.actor_name} is a step in workflows only", "send it a message")
        return self.fn(*arguments, **named)

    def params(self, arguments: Any, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the actor's name and its arguments."""
        return {"actor": self.actor_name, **arguments}


class ChildStep(AnyStep):
    """Another workflow, called as a step: an execution of its own."""

    uses = "workflow"
    own_options = ("wait", "version", "parent_ends")

    def __init__(self, workflow: str, signature: inspect.Signature) -> None:
        self.workflow_name = workflow
        super().__init__(slug(workflow), signature, {})

    def outside(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Refuse: outside of a workflow it is started."""
        refuse(
            f"workflow '{self.workflow_name}' is started, not called",
            f"engine run {self.workflow_name}",
        )

    def params(self, arguments: Any, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the workflow's name, its input, and what becomes of it."""
        given = {key: own[key] for key in self.own_options if own.get(key) is not None}
        whole = isinstance(arguments, Handle) or arguments
        return {"workflow": self.workflow_name, **({"input": arguments} if whole else {}), **given}


class NamedChildStep(ChildStep):
    """A workflow that is known by its name only: what it takes is known when it starts."""

    def __init__(self, workflow: str) -> None:
        anything = inspect.Parameter("input", inspect.Parameter.VAR_KEYWORD)
        super().__init__(workflow, inspect.Signature([anything]))

    def bind(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the input: one value, or the arguments by name."""
        if not arguments:
            return named
        whole = arguments[0]
        if len(arguments) > 1 or named or not isinstance(whole, Handle | dict):
            refuse(
                f"workflow '{self.workflow_name}' takes its input by name, or whole",
                "write report(url=…), or report({'url': …})",
            )
        return whole


def workflow_step(workflow: str) -> ChildStep:
    """Return the workflow called ``workflow`` as a step, for one that is not written here.

    One that is there as a Python object is called itself, or ``orders.as_step(…)``.
    """
    if not isinstance(workflow, str) or not workflow:
        refuse("workflow_step() takes the name of a workflow", 'write workflow_step("report")')
    return NamedChildStep(workflow)
