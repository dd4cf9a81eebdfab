"""From one Redis channel to whoever waits in this process: pages and event streams.

Redis only says "look": what is new stands in the database, so a lost, doubled or late word costs
time and nothing else. That is why a waiter holds a single bell and no queue of messages: it
cannot overflow, and a thousand words while it reads are one more reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterator

from msgspec import DecodeError, Struct, ValidationError, json
from redis.asyncio import Redis
from redis.exceptions import RedisError

CHANNEL = "engine:look"
EVERYTHING = "everything"  # the topic that each word concerns
GAP_SECONDS = 0.1  # between two readings of one waiter, however often its bell rings
_RETRY_SECONDS = (0.2, 0.5, 1, 2, 5)
_IDLE_SECONDS = 5.0  # without a word, after which the server is asked whether it is there
_CONNECT_SECONDS = 3.0

_log = logging.getLogger(__name__)


class Look(Struct):
    """What a word says: which execution changed, whose it is, of which workflow."""

    execution: str
    owner: str
    workflow: str

    def topics(self) -> tuple[str, ...]:
        """Return every topic this word concerns."""
        return (
            execution_topic(self.execution),
            owner_topic(self.owner),
            workflow_topic(self.owner, self.workflow),
            EVERYTHING,
        )


def execution_topic(execution_id: str) -> str:
    """Return the topic of one execution."""
    return f"execution:{execution_id}"


def owner_topic(owner_id: str) -> str:
    """Return the topic of all that one owner runs."""
    return f"owner:{owner_id}"


def workflow_topic(owner_id: str, workflow_id: str) -> str:
    """Return the topic of what one owner runs of one workflow: never of what others run of it."""
    return f"workflow:{owner_id}:{workflow_id}"


class Subscription:
    """Rings when there may be something new to read."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._heard = 0.0

    def ring(self) -> None:
        """Wake the waiter, now or as soon as it waits."""
        self._rung.set()

    async def wait(self, seconds: float, *, gap: float = GAP_SECONDS) -> bool:
        """Return whether the bell rang within ``seconds``.

        Returns at once on the first ring and at most every ``gap`` seconds while it keeps ringing.
        """
        try:
            # Not wait_for: that one returns, instead of ending, when cancelled as the bell rings.
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._heard + gap - loop.time()))
        self._heard = loop.time()
        self._rung.clear()
        return True


class Hub:
    """One listener per server process, and the bells that hang on it."""

    def __init__(self) -> None:
        self.connected = False
        self.words = 0  # how often something rang, whoever it is for
        self._bells: dict[str, set[Subscription]] = defaultdict(set)

    @contextlib.contextmanager
    def subscribe(self, *topics: str) -> Iterator[Subscription]:
        """Yield a bell that rings for each of ``topics`` until the block is left.

        The caller has checked that the viewer may see them.
        """
        bell = Subscription()
        for topic in topics:
            self._bells[topic].add(bell)
        try:
            yield bell
        finally:
            for topic in topics:
                self._bells[topic].discard(bell)
                if not self._bells[topic]:
                    del self._bells[topic]

    def ring(self, *topics: str) -> None:
        """Ring the bells of ``topics``."""
        self.words += 1
        for topic in topics:
            for bell in tuple(self._bells.get(topic, ())):
                bell.ring()

    def ring_all(self) -> None:
        """Ring every bell: words may have been lost."""
        self.ring(*tuple(self._bells))

    async def listen(self, url: str) -> None:
        """Hand on what Redis says until cancelled, through restarts of Redis."""
        failures = 0
        while True:
            try:
                async with Redis.from_url(
                    url, socket_connect_timeout=_CONNECT_SECONDS, socket_timeout=2 * _IDLE_SECONDS
                ) as redis:
                    await self._follow(redis)
            except (RedisError, OSError) as error:
                if self.connected or failures == 0:
                    _log.warning("the live channel is cut, pages poll meanwhile: %s", error)
                failures = 0 if self.connected else failures + 1
                self.connected = False
            await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])

    async def _follow(self, redis: Redis) -> None:
        async with redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            self.connected = True
            self.ring_all()
            asked = False  # whether it is there, since it was heard last
            while True:
                message = await channel.get_message(timeout=_IDLE_SECONDS)
                if message is None:
                    # A server that stands still sends no words and closes nothing: pages would
                    # trust a channel on which nobody speaks.
                    if asked:
                        raise RedisError("it is silent")
                    asked = True
                    await channel.ping()
                    continue
                asked = False
                if message["type"] == "message":
                    self._hear(message["data"])

    def _hear(self, data: bytes) -> None:
        try:
            look = json.decode(data, type=Look)
        except (DecodeError, ValidationError) as error:
            _log.warning("a word on the live channel means nothing: %s", error)
            return
        self.ring(*look.topics())


hub = Hub()
