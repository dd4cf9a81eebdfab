"""Actors of the user's own as steps: unchanged, in a worker of the user's own.

``actor_step`` makes an actor callable in workflows. ``ActorSteps`` is a middleware for the broker
of the worker that runs it: it claims the step run before the actor's code and settles it after.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Unpack

from dramatiq import Actor, Broker, Message, MessageProxy, Middleware
from dramatiq.middleware import Shutdown, SkipMessage, TimeLimitExceeded

from actors import messages
from actors.broker import EngineBroker
from actors.worker import WorkerRuntime
from engine import registry, settings
from engine.authoring.elsewhere import ActorStep
from engine.authoring.options import StepOptions
from engine.core.status import Reason
from engine.definition.model import ACTOR_QUEUE
from engine.errors import StepError
from engine.flow.outgoing import Look
from engine.registry import Remote
from engine.steps.context import entered
from engine.store.writes.step_runs import Ticket
from engine.worker.external_worker import ExternalAttempt

OPTION = "engine_step"  # of a message that works for a step run: its key and epoch


def actor_step(
    actor: Actor[..., Any], *, name: str | None = None, **options: Unpack[StepOptions]
) -> ActorStep:
    """Return the actor as a step: to be called in workflows, and known to documents by its name.

    The actor stays what it is. Its broker is where the step is sent; the worker that consumes
    its queue needs the ``ActorSteps`` middleware, and the engine's settings.

    Args:
        actor: takes and returns what JSON can carry.
        name: of the step in a workflow; by default the actor's.
        options: those of ``@step``: attempts, backoff, timeout and so on.
    """
    broker = actor.broker

    def send(arguments: Mapping[str, Any], key: Sequence[Any]) -> None:
        message: Message[Any] = Message(
            queue_name=actor.queue_name,
            actor_name=actor.actor_name,
            args=(),
            kwargs=dict(arguments),
            # The engine's policy decides about another attempt, so the broker makes none.
            options={OPTION: list(key), "max_retries": 0},
        )
        broker.enqueue(message)

    def is_idle() -> bool:
        return _is_idle(broker, actor.queue_name)

    registry.register_actor(Remote(actor.actor_name, send, is_idle))
    return ActorStep(
        actor.actor_name, inspect.signature(actor.fn), function=actor.fn, name=name, **options
    )


def _is_idle(broker: Broker, queue: str) -> bool:
    """Return whether the queue is known to hold nothing; of a foreign broker nothing is known."""
    client = getattr(broker, "client", None)
    namespace = getattr(broker, "namespace", None)
    if client is None or namespace is None:
        return True
    return not client.hlen(f"{namespace}:{queue}.msgs")


class ActorSteps(Middleware):
    """For the user's own broker: ``broker.add_middleware(ActorSteps())``."""

    def __init__(self) -> None:
        self._crew = WorkerRuntime(settings.current())
        self._lock = threading.Lock()
        self._visits: dict[str, tuple[ExternalAttempt, ExitStack]] = {}

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Introduce the worker, so that its claims are vouched for."""
        self._crew.broker = EngineBroker(self._crew.settings, middleware=[])
        self._crew.visit(queues=[ACTOR_QUEUE], threads=worker.worker_threads)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Claim the step run that the message works for, if it does.

        Raises:
            SkipMessage: it is claimed, settled or cancelled by now.
        """
        key = message.options.get(OPTION)
        if key is None:
            return
        execution_id, step, item, epoch = key
        visit = self._crew.guest.begin(Ticket(execution_id, step, item, epoch, ACTOR_QUEUE))
        if visit is None:
            raise SkipMessage(f"step run {key} is another's by now")
        stack = ExitStack()
        stack.enter_context(entered(visit.context))
        with self._lock:
            self._visits[message.message_id] = visit, stack

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Settle the step run and send what became ready by it."""
        with self._lock:
            held = self._visits.pop(message.message_id, None)
        if held is None:
            return
        visit, stack = held
        stack.close()
        released = isinstance(exception, Shutdown)
        sends = self._crew.guest.end(visit, result, _told(exception), released=released)
        assert self._crew.broker is not None
        messages.send(self._crew.broker, sends)
        pinned = visit.work.execution.pinned
        self._crew.looks.add(Look(pinned.id, pinned.owner_id, pinned.workflow_id))

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """Give back what is left, and vouch for nothing any more."""
        self._crew.leave()


def _told(exception: BaseException | None) -> BaseException | None:
    if isinstance(exception, TimeLimitExceeded):
        return StepError("the actor's own time limit is over", reason=Reason.TIMEOUT)
    return exception
