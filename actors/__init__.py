"""Dramatiq: the broker, its middleware and three thin actors. ``dramatiq actors`` runs them."""

from __future__ import annotations

import uuid
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage
from periodiq import PeriodiqMiddleware, cron

from actors import messages, middleware
from actors.broker import EngineBroker
from actors.external_actors import ActorSteps, actor_step
from actors.worker import WorkerRuntime
from engine import settings
from engine.commands.dispatch import dispatch as plan
from engine.commands.scheduler import tick as tick_calendar
from engine.flow.outgoing import Sends
from engine.store.writes.step_runs import Ticket

__all__ = ["ActorSteps", "actor_step", "broker", "crew", "dispatch", "run_step", "tick"]

_settings = settings.current()
crew = WorkerRuntime(_settings)
broker = EngineBroker(_settings, middleware=middleware.order(_settings, crew))
# periodiq finds the periodic actors through it, and drops ticks that waited too long to matter.
broker.add_middleware(PeriodiqMiddleware(skip_delay=50))
crew.broker = broker
if dramatiq.broker.global_broker is None:
    # In a worker of the user's own, which imports us for its actor steps, theirs is set already.
    dramatiq.set_broker(broker)
broker.declare_queue("steps.long")


@dramatiq.actor(broker=broker, actor_name=messages.DISPATCH, queue_name="dispatch", max_retries=8)
def dispatch(execution_id: str) -> None:
    """Plan an execution and hand it to its first step runs."""
    planned = plan(crew.database, crew.versions, crew.settings, execution_id)
    if planned.look is not None:
        crew.looks.add(planned.look)
    if planned.due_at is not None:
        crew.claims.came_through("dispatch", planned.due_at)
    hand_on(planned.sends)


@dramatiq.actor(broker=broker, actor_name=messages.RUN_STEP, queue_name="steps")
def run_step(execution_id: str, step: int, item: int, epoch: int) -> None:
    """Run a step run and what follows from it, then hand on."""
    queue = current_message().queue_name
    hand_on(crew.executor.run(Ticket(execution_id, step, item, epoch, queue)))


@dramatiq.actor(
    broker=broker,
    actor_name="tick",
    queue_name="dispatch",
    max_retries=0,
    periodic=cron("* * * * *"),
)
def tick() -> None:
    """Start what schedules have due by now."""
    started = tick_calendar(crew.database, crew.versions, lambda: str(uuid.uuid4()))
    hand_on(Sends(dispatches=started))


def hand_on(sends: Sends) -> None:
    """Hand on what is ready: one step by pipe, the others in one trip, a retry by the middleware.

    Raises:
        RetryStep: for the middleware, when a step is due again soon.
    """
    if not sends.later:
        sends.now = list(messages.pipe(current_message(), sends.now))
    retries, sends.later = sends.later, []
    messages.send(broker, sends)
    if retries:
        raise middleware.RetryStep(*retries[0])


def current_message() -> dramatiq.Message[Any]:
    """Return the message that this thread works on."""
    message = CurrentMessage.get_current_message()
    assert message is not None, "an actor was called without a message"
    return message
