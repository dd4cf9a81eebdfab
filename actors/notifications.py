"""Tell pages that there is news: a word on a channel, coalesced, allowed to be lost."""

from __future__ import annotations

import logging
import threading
import time

import redis

from engine.codec import encode
from engine.flow.outgoing import Look
from engine.steps.threads import start_vital

CHANNEL = "engine:look"
COALESCE_SECONDS = 0.02

_log = logging.getLogger(__name__)


class Looks:
    """Collects executions with news and publishes each once per 20 ms at most."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._pending: set[Look] = set()
        self._lock = threading.Lock()
        self._some = threading.Event()
        start_vital("looks", self._publish)

    def add(self, look: Look) -> None:
        """Publish ``look`` soon."""
        with self._lock:
            self._pending.add(look)
        self._some.set()

    def _publish(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            with self._lock:
                pending, self._pending = self._pending, set()
            try:
                publish(self._client, pending)
            except redis.RedisError as error:
                # Pages look by themselves too; only their news is late.
                _log.debug("could not publish %d looks: %s", len(pending), error)
            time.sleep(COALESCE_SECONDS)  # after the first, which waits for none


def publish(client: redis.Redis, looks: set[Look]) -> None:
    """Publish ``looks`` in one trip."""
    with client.pipeline(transaction=False) as pipe:
        for look in looks:
            word = {"execution": look.execution, "owner": look.owner, "workflow": look.workflow}
            pipe.publish(CHANNEL, encode(word))
        pipe.execute()
