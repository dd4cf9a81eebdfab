"""Messages: ids and an epoch, never data. Built from tickets, sent in one trip."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import dramatiq
import redis
from dramatiq import Message

from actors.broker import EngineBroker
from engine import failpoints, registry
from engine.definition.model import ACTOR_QUEUE, SHORT_QUEUE
from engine.errors import EngineError
from engine.flow.outgoing import ActorCall, Sends
from engine.store.writes.step_runs import Ticket

RUN_STEP = "run_step"
DISPATCH = "dispatch"
LONGEST_DELAY = 60_000_000  # µs; a longer wait is a row that rescue wakes, not a message

_log = logging.getLogger(__name__)


def step_message(ticket: Ticket) -> Message[Any]:
    """Return the message that brings the ticket to a worker."""
    return Message(
        # Sent again, what an actor is to run goes through a worker of ours: it knows the arguments.
        queue_name=SHORT_QUEUE if ticket.queue == ACTOR_QUEUE else ticket.queue,
        actor_name=RUN_STEP,
        args=(ticket.execution_id, ticket.step, ticket.item, ticket.epoch),
        kwargs={},
        options={"pipe_ignore": True},
    )


def dispatch_message(execution_id: str) -> Message[Any]:
    """Return the message that asks for an execution to be planned."""
    return Message(
        queue_name="dispatch",
        actor_name=DISPATCH,
        args=(execution_id,),
        kwargs={},
        options={"pipe_ignore": True},
    )


def send(broker: EngineBroker, sends: Sends) -> None:
    """Send the messages; of one that cannot be sent the row says what is due: rescue finds it."""
    messages = [step_message(ticket) for ticket in sends.now]
    messages += [dispatch_message(execution_id) for execution_id in sends.dispatches]
    if failpoints.armed and messages:
        failpoints.reach("before_enqueue")
    _call_actors(sends.calls)
    try:
        broker.enqueue_many(messages)
        for ticket, delay in sends.later:
            send_later(broker, ticket, delay)
    except redis.RedisError as error:
        _log.warning("could not send %d messages, rescue will: %s", len(messages), error)
    if failpoints.armed and messages:
        failpoints.reach("after_enqueue")


def _call_actors(calls: Sequence[ActorCall]) -> None:
    for call in calls:
        ticket = call.ticket
        key = (ticket.execution_id, ticket.step, ticket.item, ticket.epoch)
        try:
            registry.find_actor(call.actor).send(call.arguments, key)
        except (EngineError, redis.RedisError, dramatiq.DramatiqError, OSError) as error:
            _log.warning("could not call actor %s, rescue will: %s", call.actor, error)


def send_later(broker: EngineBroker, ticket: Ticket, delay: int) -> None:
    """Send the ticket so that it arrives after ``delay`` µs; rescue wakes it if that is long."""
    if delay <= LONGEST_DELAY:
        broker.enqueue(step_message(ticket), delay=max(delay // 1000, 1))


def pipe(message: Any, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
    """Make the first ticket the pipe target of the message under way; return the others."""
    if not tickets:
        return ()
    message.options["pipe_target"] = step_message(tickets[0]).asdict()
    return tickets[1:]
