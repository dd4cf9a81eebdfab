"""A user's own Dramatiq program: a broker and actors that know nothing of workflows.

``dramatiq tests.support.users_actors`` runs it. The engine's workers import ``as_steps`` beside.
"""

from __future__ import annotations

import os
import time
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from actors import ActorSteps
from engine import settings

broker: Any = RedisBroker(  # type: ignore[no-untyped-call]  # Dramatiq annotates no argument
    url=settings.current().redis, namespace="theirs"
)
broker.add_middleware(ActorSteps())
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="billing")
def charge(order: int, currency: str = "EUR") -> dict[str, Any]:
    """Charge an order; the plainest actor there is."""
    print(f"charging {order}")
    return {"order": order, "currency": currency, "pid": os.getpid()}


@dramatiq.actor(queue_name="billing")
def refuse(order: int) -> None:
    """Fail, as actors do."""
    raise ValueError(f"order {order} is refused")


@dramatiq.actor(queue_name="billing")
def crawl(seconds: float) -> str:
    """Take a while at the first call, and none when called again after a death."""
    from tests.support.steps_for_tests import first_time

    if first_time():
        time.sleep(seconds)
    return "done"
