"""The middleware, and why it stands in this order. "After" hooks run in reverse order."""

from __future__ import annotations

import logging
from typing import Any

import dramatiq
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.middleware import CurrentMessage, Pipelines, Retries

from actors import messages
from actors.worker import WorkerRuntime
from engine.errors import EngineError
from engine.settings import Settings
from engine.store.writes.step_runs import Ticket

_log = logging.getLogger(__name__)


_CANNOT_START = 2  # as dramatiq ends when a module of its own cannot be imported
# None ahead, and over all queues: what a worker holds waits for its threads while others rest.
FETCHED_PER_THREAD = 1
DELAYED_PER_THREAD = 1_000  # they wait in the worker's memory, and hold no thread


class RetryStep(dramatiq.Retry):
    """Raised by ``run_step``: the step that failed is due again, ``delay`` ms from now."""

    def __init__(self, ticket: Ticket, delay_us: int) -> None:
        super().__init__("the retry policy grants another attempt", delay=max(delay_us // 1000, 1))
        self.ticket = ticket
        self.delay_us = delay_us


class StepRetries(Retries):
    """Carries out what the retry policy decided; keeps its own backoff for our own faults.

    After a continuation the step that failed is not the one the message was about, so the
    message to repeat is built from the step's ticket, with its new epoch.
    """

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        if isinstance(exception, RetryStep):
            messages.send_later(broker, exception.ticket, exception.delay_us)  # type: ignore[arg-type]
            return
        super().after_process_message(broker, message, result=result, exception=exception)


class DeadLetters(Middleware):
    """Keeps what no retry could carry out, for people to see and replay."""

    def __init__(self, crew: WorkerRuntime) -> None:
        self._crew = crew

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Write the dead letter down."""
        error = message.options.get("traceback") or repr(message._exception)
        self._crew.bury_message(message.asdict(), message.queue_name, message.actor_name, error)


class Presence(Middleware):
    """Opens the crew of a worker process, and lets it go in good order."""

    def __init__(self, crew: WorkerRuntime) -> None:
        self._crew = crew

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Introduce the worker before it can fetch anything, and say how much it fetches.

        Raises:
            SystemExit: it cannot work; the log says why.
        """
        # Dramatiq took these from the environment when it was imported; a bare `dramatiq actors`
        # has to behave like the workers of `engine up`.
        worker.queue_prefetch = FETCHED_PER_THREAD * worker.worker_threads
        worker.delay_prefetch = DELAYED_PER_THREAD * worker.worker_threads
        try:
            self._crew.board(queues=worker.consumer_whitelist, threads=worker.worker_threads)
        except Exception as error:
            # Dramatiq would log it and go on with a worker that nobody knows of.
            trace = None if isinstance(error, EngineError) else error
            _log.critical("this worker cannot start: %s", error, exc_info=trace)
            raise SystemExit(_CANNOT_START) from error

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """Begin nothing new; after the drain time claims are given back."""
        self._crew.drain()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """Vouch for nothing any more."""
        self._crew.leave()


def order(settings: Settings, crew: WorkerRuntime) -> list[Middleware]:
    """Return the middleware in order.

    Not there, and why: ``AgeLimit`` (a message that is old is still due), ``TimeLimit`` (it is
    per message and raises anywhere, also inside our commit: steps have their own watchdog),
    ``ShutdownNotifications`` (a drain gives claims back by itself), ``Callbacks`` and ``Results``
    (results live in the database), ``Prometheus`` (it starts a server of its own).
    """
    return [
        # First, so that its after-hooks run last: a letter is dead only when all others gave up.
        DeadLetters(crew),
        # Before anything is fetched the worker must be known, or its first claim looks abandoned.
        Presence(crew),
        # The actors read the message they run in, to set its pipe target one hop ahead.
        CurrentMessage(),
        # Before the retries in this list, so after them in time: what is retried is not piped.
        Pipelines(),
        # Infrastructure faults: soon at first, then patiently. Steps' own retries pass through.
        StepRetries(max_retries=12, min_backoff=500, max_backoff=30_000),
    ]
