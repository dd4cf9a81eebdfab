"""The broker: Dramatiq's Redis broker with a client of our own, one-trip fan-out, and waking.

A consumer that finds its queue empty waits for a word on a channel instead of polling ever more
slowly: the first message after a rest starts at once, and rest costs no CPU.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis, dq_name
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from engine import failpoints, registry
from engine.definition.model import ACTOR_QUEUE
from engine.errors import NoEvidence
from engine.settings import Settings
from engine.steps.threads import start_vital

NAMESPACE = "engine"
WAKE = f"{NAMESPACE}:wake"
GENERATION = f"{NAMESPACE}:generation"

# A consumer that heard nothing looks by itself this often: a word on a channel may be lost.
IDLE_SECONDS = 1.0
DELAYED_SECONDS = 0.05


class LatePool(redis.ConnectionPool):
    """A pool that finds its server at the first connection.

    Whoever imports ``actors`` (a test, a command that needs no Redis) must not need one for it.
    """

    def __init__(self, url: Callable[[], str], **options: Any) -> None:
        super().__init__(**options)
        self._url: Callable[[], str] | None = url

    def make_connection(self) -> Any:
        """Return a new connection to the server.

        Raises:
            SettingsError: there is no Redis to connect to.
        """
        if self._url is not None:
            found: dict[str, Any] = dict(parse_url(self._url()))
            self.connection_class = found.pop("connection_class", self.connection_class)
            if self.connection_class is redis.UnixDomainSocketConnection:
                self.connection_kwargs.pop("socket_keepalive", None)
            self.connection_kwargs.update(found)
            self._url = None
        return super().make_connection()


ASKING_SECONDS = 3.0  # of a question that its asker can do without an answer to


def connect(
    url: Callable[[], str], *, connections: int = 64, seconds: float = 30, connecting: float = 5
) -> redis.Redis:
    """Return a client that fails at once and never retries by itself.

    Args:
        url: tells where, at the first connection.
        connections: open at once at most.
        seconds: that a read or write may take.
        connecting: seconds that a connection may take to come about.

    redis-py's own defaults (5 s of socket timeout, ten retries) doubled an enqueue and lost a
    fetch when the server stalled for 7 s: the fetch had happened, its answer was thrown away.
    """
    pool = LatePool(
        url,
        max_connections=connections,
        socket_timeout=seconds,
        socket_connect_timeout=connecting,
        socket_keepalive=True,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)


class EngineBroker(RedisBroker):
    """The Redis broker of this project. ``evidence`` for rescue comes from here too."""

    def __init__(self, settings: Settings, *, seconds: float = 30, **options: Any) -> None:
        """Take the settings; ``seconds`` are those of ``connect``."""
        super().__init__(
            client=connect(lambda: settings.redis, seconds=seconds),
            namespace=NAMESPACE,
            # A killed worker's messages are handed over after this, not after a minute.
            heartbeat_timeout=15_000,
            # Maintenance is what hands them over; by default one command in a thousand does it.
            maintenance_chance=100_000,
            **options,
        )
        # What only asks has a client of its own: a worker that expands a fan-out, or the one that
        # sweeps, would stand still for as long as a fetch may take.
        self._asking = connect(
            lambda: settings.redis, seconds=ASKING_SECONDS, connecting=ASKING_SECONDS
        )
        self._alarm = _Alarm(self.client)
        self._hands = _Hands()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Return a consumer that waits to be woken."""
        consumer: Any = super().consume(queue_name, prefetch, timeout)
        consumer.alarm = self._alarm
        # What is delayed waits in memory and needs no thread until it is due.
        consumer.hands = _Hands() if queue_name.endswith(".DQ") else self._hands
        consumer.hands.take(consumer)
        return consumer

    @property
    def consumer_class(self) -> Any:
        """The consumer that ``consume`` makes."""
        return _WakingConsumer

    def do_enqueue(self, queue_name: str, *args: Any) -> Any:
        """Push one message and wake the consumers of its queue."""
        if failpoints.armed:
            failpoints.reach("before_enqueue")
        result = self._dispatch("enqueue")(queue_name, *args)
        self.client.publish(WAKE, queue_name)
        if failpoints.armed:
            failpoints.reach("after_enqueue")
        return result

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> None:
        """Enqueue messages in one trip: nine times as fast as one by one for a fan-out."""
        if not messages:
            return
        dispatch = self.scripts["dispatch"]
        with self.client.pipeline(transaction=True) as pipe:
            for message in messages:
                key = str(uuid.uuid4())
                copy = message.copy(options={"redis_message_id": key})
                arguments = [
                    "enqueue",
                    current_millis(),
                    message.queue_name,
                    self.broker_id,
                    self.heartbeat_timeout,
                    self.dead_message_ttl,
                    0,
                    self._max_unpack_size(),
                    key,
                    copy.encode(),
                ]
                dispatch(args=arguments, keys=[self.namespace], client=pipe)
            for queue in {message.queue_name for message in messages}:
                pipe.publish(WAKE, queue)
            pipe.execute()

    def generation(self) -> str:
        """Return a word that Redis keeps until it loses its memory."""
        with _as_evidence():
            word: Any = self._asking.get(GENERATION)
            if word is None:
                self._asking.set(GENERATION, uuid.uuid4().hex, nx=True)
                word = self._asking.get(GENERATION)
        return word.decode() if word is not None else ""

    def is_empty(self, queue: str) -> bool:
        """Return whether no message waits in ``queue`` to be fetched."""
        if queue == ACTOR_QUEUE:
            return self.is_idle(queue)
        with _as_evidence():
            return not self._asking.llen(f"{self.namespace}:{queue}")

    def is_idle(self, queue: str) -> bool:
        """Return whether ``queue`` has no message at all, not even one that a worker holds."""
        if queue == ACTOR_QUEUE:
            return all(actor.is_idle() for actor in registry.actors())
        with _as_evidence():
            return not self.count(queue)

    def count(self, queue: str) -> int:
        """Return how many messages ``queue`` has, those included that a worker holds."""
        found: Any = self._asking.hlen(f"{self.namespace}:{queue}.msgs")
        return int(found)

    def depths(self) -> list[dict[str, Any]]:
        """Return per queue: messages ready to fetch, delayed, and under way in workers."""
        rows = []
        for queue in sorted(self.get_declared_queues()):
            with self._asking.pipeline(transaction=False) as pipe:
                pipe.llen(f"{self.namespace}:{queue}")
                pipe.hlen(f"{self.namespace}:{queue}.msgs")
                pipe.hlen(f"{self.namespace}:{dq_name(queue)}.msgs")
                ready, known, delayed = pipe.execute()
            row = {"queue": queue, "ready": ready, "delayed": delayed}
            rows.append({**row, "in_flight": max(known - ready, 0)})
        return rows

    def close(self) -> None:
        """Stop listening for wake-up words and close the connections."""
        self._alarm.close()
        self._asking.close()
        super().close()


@contextlib.contextmanager
def _as_evidence() -> Iterator[None]:
    """Say in the engine's words that Redis does not tell."""
    try:
        yield
    except redis.RedisError as error:
        raise NoEvidence(f"Redis does not tell what it holds: {error}") from error


class _Alarm:
    """Listens for wake-up words in one thread and rings the queue's bell."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._bells: dict[str, threading.Event] = defaultdict(threading.Event)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wait(self, queue: str, seconds: float) -> None:
        """Wait until the queue's bell rings, ``seconds`` at most."""
        with self._lock:
            if self._thread is None:
                self._thread = start_vital("wake", self._listen)
            bell = self._bells[queue]
        bell.wait(seconds)
        bell.clear()

    def ring(self, queue: str) -> None:
        """Ring the queue's bell."""
        self._bells[queue].set()

    def close(self) -> None:
        """Stop listening."""
        self._closed = True

    def _listen(self) -> None:
        while not self._closed:
            # Without Redis nothing can be fetched either; consumers then look by themselves.
            with contextlib.suppress(redis.RedisError, OSError):
                self._follow()
            time.sleep(0.5)

    def _follow(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(WAKE)
            while not self._closed:
                word = channel.get_message(timeout=5.0)
                if word is not None:
                    self.ring(word["data"].decode())


class _Hands:
    """How many messages a process holds over all its queues, which share its threads.

    Counted by queue, a worker whose threads are all busy would still fetch what others could begin
    at once: seen to wait for 10 s, until rescue sent it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._consumers: dict[str, Any] = {}

    def take(self, consumer: Any) -> None:
        """Count what the consumer holds, in place of the one that its queue had before."""
        self._consumers[consumer.queue_name] = consumer

    def fetch(self, consumer: Any) -> None:
        """Let the consumer fetch as many messages as there are hands free."""
        with self._lock:
            held = sum(one.outstanding_message_count for one in self._consumers.values())
            if held < consumer.prefetch:
                free = consumer.prefetch - held
                consumer.message_cache = consumer.broker.do_fetch(consumer.queue_name, free)

    @property
    def queues(self) -> list[str]:
        """The queues that are counted."""
        return list(self._consumers)


class _WakingConsumer(_RedisConsumer):
    """Dramatiq's consumer, but an empty queue is waited for instead of polled."""

    alarm: _Alarm
    hands: _Hands

    def __next__(self) -> Any:
        try:
            if not self.message_cache:
                self.hands.fetch(self)
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None
        if not self.message_cache:
            self.alarm.wait(self.queue_name, self._idle_seconds())
            return None
        return super().__next__()

    def ack(self, message: Any) -> None:
        """Tell Redis that the message is done, and look for more: a hand is empty."""
        super().ack(message)
        self._ring()

    def nack(self, message: Any) -> None:
        """Tell Redis that the message is dead, and look for more: a hand is empty."""
        super().nack(message)
        self._ring()

    def _ring(self) -> None:
        for queue in self.hands.queues:
            self.alarm.ring(queue)

    def _idle_seconds(self) -> float:
        # Delayed messages are handed on between two looks: while there are any, look often.
        holds_delayed = self.queue_name.endswith(".DQ") and self.outstanding_message_count > 0
        return DELAYED_SECONDS if holds_delayed else IDLE_SECONDS
