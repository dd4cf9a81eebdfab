"""What the edges call: an engine verb and the message that goes with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dramatiq
import redis

from actors import messages
from actors.broker import ASKING_SECONDS, EngineBroker
from actors.notifications import publish
from actors.timebox import Late, Timebox
from engine.commands import lifecycle, missing_code, rerun, signals
from engine.commands import start as verbs
from engine.commands.rerun import Preview, RerunRequest
from engine.commands.signals import Decision
from engine.errors import Conflict, Unavailable
from engine.flow.definition_cache import Versions
from engine.flow.outgoing import Look, Sends
from engine.io.payloads import Payloads
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.writes import dead_letters
from engine.store.writes.executions import Admitted
from engine.store.writes.signals import Received

# That accepted work waits for the waker at most: what was not sent by then, rescue sends.
SEND_SECONDS = 0.8
ASK_SECONDS = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """The execution that answers a request; not ``created`` when an earlier one did."""

    execution_id: str
    message_id: str
    created: bool


class Client:
    """Starts and steers executions. Thread-safe."""

    def __init__(self, settings: Settings, database: Database, broker: EngineBroker) -> None:
        self.settings = settings
        self.database = database
        self.broker = broker
        self.versions = Versions(database)
        self._box = Timebox("redis")

    @property
    def redis(self) -> redis.Redis:
        """The connection to Redis."""
        return self.broker.client

    def start(
        self,
        *,
        owner_id: str,
        workflow_id: str,
        input: Any,
        version: int | None = None,
        trigger: str = "api",
        trigger_detail: str | None = None,
        idempotency_key: str | None = None,
        delay_seconds: float = 0,
    ) -> Started:
        """Start an execution and return it; arguments and errors: see ``commands.start``."""
        message = messages.dispatch_message("")
        delay = verbs.delay_of(delay_seconds)
        admitted = verbs.start(
            self.database,
            self.versions,
            owner_id=owner_id,
            workflow_id=workflow_id,
            input=input,
            message_id=message.message_id,
            version=version,
            trigger=trigger,
            trigger_detail=trigger_detail,
            idempotency_key=idempotency_key,
            delay=delay,
        )
        return self._send(admitted, message, delay)

    def start_again(
        self,
        *,
        owner_id: str,
        execution_id: str,
        wish: RerunRequest | None = None,
        trigger_detail: str | None = None,
        idempotency_key: str | None = None,
    ) -> Started:
        """Start a new execution that goes on from an ended one: by default from what failed.

        Raises:
            NotFound, Conflict, InvalidQuery, InvalidInput: as ``commands.rerun.start_again``.
        """
        message = messages.dispatch_message("")
        admitted = rerun.start_again(
            self.database,
            self.versions,
            owner_id=owner_id,
            execution_id=execution_id,
            message_id=message.message_id,
            wish=wish,
            trigger_detail=trigger_detail,
            idempotency_key=idempotency_key,
        )
        return self._send(admitted, message, 0)

    def preview_again(self, *, owner_id: str, execution_id: str, wish: RerunRequest) -> Preview:
        """Return which steps ``start_again`` would take over, repeat, and run for the first time.

        Raises:
            NotFound, Conflict, InvalidQuery, InvalidInput: as ``start_again``.
        """
        return rerun.preview(
            self.database,
            self.versions,
            owner_id=owner_id,
            execution_id=execution_id,
            wish=wish,
        )

    def cancel(self, *, owner_id: str, execution_id: str, note: str = "") -> None:
        """Cancel an execution: from now on no step of it starts.

        Raises:
            NotFound, Conflict: as ``engine.commands.lifecycle.cancel``.
        """
        look, sends = lifecycle.cancel(
            self.database,
            self.versions,
            owner_id=owner_id,
            execution_id=execution_id,
            grace_seconds=self.settings.cancel_grace_seconds,
            note=note,
        )
        self._hand_on(sends, look)

    def pause(self, *, owner_id: str, execution_id: str, note: str = "") -> None:
        """Pause an execution: no step of it starts until it is resumed.

        Raises:
            NotFound, Conflict: as ``engine.commands.lifecycle.pause``.
        """
        look = lifecycle.pause(
            self.database, owner_id=owner_id, execution_id=execution_id, note=note
        )
        self._hand_on(Sends(), look)

    def resume(self, *, owner_id: str, execution_id: str) -> None:
        """Let a paused execution go on.

        Raises:
            NotFound, Conflict: as ``engine.commands.lifecycle.resume``.
        """
        look, sends = lifecycle.resume(self.database, owner_id=owner_id, execution_id=execution_id)
        self._hand_on(sends, look)

    def signal(
        self,
        *,
        owner_id: str,
        name: str,
        body: Any = None,
        correlation: str = "",
        execution_id: str | None = None,
        sent_by: str | None = None,
        idempotency_key: str | None = None,
    ) -> Received:
        """Send a signal; arguments and errors are those of ``engine.commands.signals.signal``."""
        received = signals.signal(
            self.database,
            owner_id=owner_id,
            name=name,
            body=body,
            correlation=correlation,
            execution_id=execution_id,
            sent_by=sent_by,
            idempotency_key=idempotency_key,
        )
        if received.execution_id is not None:
            self._enqueue(messages.dispatch_message(received.execution_id), 0)
        return received

    def decide(self, *, user_id: str, execution_id: str, step: str, decision: Decision) -> None:
        """Approve or reject; arguments and errors: see ``commands.signals.decide``."""
        look, sends = signals.decide(
            self.database,
            self.versions,
            user_id=user_id,
            execution_id=execution_id,
            step=step,
            decision=decision,
            grace_seconds=self.settings.cancel_grace_seconds,
        )
        self._hand_on(sends, look)

    def replay(self, *, owner_id: str, dead_letter_id: str) -> str:
        """Send a dead letter's execution again, or run it again; return the execution's id.

        Raises:
            NotFound, Conflict: as ``engine.store.writes.dead_letters.find``.
        """
        now = self.database.now()
        found = self.database.read(
            lambda connection: dead_letters.find(connection, owner_id, dead_letter_id)
        )
        if found.again:
            # The letter is the key: of two replays at once, and of one after a process that died
            # before it could note that it had replayed, all mean the same execution.
            started = self.start_again(
                owner_id=owner_id,
                execution_id=found.execution_id,
                trigger_detail="dead letter",
                idempotency_key=f"dead-letter-{dead_letter_id}",
            )
            self.database.write(
                lambda connection: dead_letters.replayed(connection, dead_letter_id, now)
            )
            return started.execution_id
        self.database.write(
            lambda connection: dead_letters.dispatch_again(
                connection, dead_letter_id, found.execution_id, now
            )
        )
        self._enqueue(messages.dispatch_message(found.execution_id), 0)
        return found.execution_id

    def find_stranded(self, *, owner_id: str | None) -> list[missing_code.Stranded] | None:
        """Return the versions whose open executions wait for code that no live worker has.

        None while no worker is alive: nobody can tell then what they know.
        """
        known = missing_code.known_by_workers(self.database, self.settings.lease_seconds)
        if known is None:
            return None
        return missing_code.find(self.database, self.versions, known=known, owner_id=owner_id)

    def settle_stranded(
        self,
        *,
        owner_id: str,
        workflow: str,
        move: bool,
        version: int | None = None,
        dry_run: bool = False,
    ) -> missing_code.Bulk:
        """Cancel or move such executions; arguments and errors: see ``missing_code.settle``.

        Raises:
            Conflict: no worker is alive, so that nobody can tell which they are.
        """
        known = missing_code.known_by_workers(self.database, self.settings.lease_seconds)
        if known is None:
            raise Conflict(
                "no worker is alive: nobody can tell what code there is", hint="start a worker"
            )
        bulk = missing_code.settle(
            self.database,
            self.versions,
            owner_id=owner_id,
            workflow=workflow,
            known=known,
            grace_seconds=self.settings.cancel_grace_seconds,
            move=move,
            version=version,
            dry_run=dry_run,
        )
        self._hand_on(bulk.sends, *bulk.looks)
        return bulk

    def queues(self) -> list[dict[str, Any]]:
        """Return per queue how many messages are ready, delayed and in flight.

        Raises:
            Unavailable: Redis does not tell.
        """
        try:
            return self._box.run(ASK_SECONDS, self.broker.depths)
        except (redis.ResponseError, redis.AuthenticationError) as error:
            raise Unavailable(f"Redis refuses: {error}") from error
        except (redis.RedisError, Late) as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def close(self) -> None:
        """Give back every connection."""
        self.broker.close()
        self.database.close()

    def _send(self, admitted: Admitted, message: dramatiq.Message[Any], delay: int) -> Started:
        if admitted.created:
            self._enqueue(message.copy(args=(admitted.execution_id,)), delay)
        message_id = admitted.message_id or message.message_id
        return Started(admitted.execution_id, message_id, admitted.created)

    def _enqueue(self, message: dramatiq.Message[Any], delay: int) -> None:
        if delay == 0:
            self._in_time("send a dispatch", lambda: self.broker.enqueue_many([message]))
        elif delay <= messages.LONGEST_DELAY:
            self._in_time(
                "send a dispatch", lambda: self.broker.enqueue(message, delay=delay // 1000)
            )

    def _hand_on(self, sends: Sends, *looks: Look) -> None:
        def hand_on() -> None:
            messages.send(self.broker, sends)
            publish(self.redis, set(looks))

        self._in_time("send the messages", hand_on)

    def _in_time(self, what: str, call: Callable[[], object]) -> None:
        """Make the call and wait for it a moment. If it fails the rows still say what is due, and
        rescue sees to it: whoever asked for the work must not wait for a server that only wakes."""
        try:
            self._box.run(SEND_SECONDS, call)
        except (redis.RedisError, Late) as error:
            _log.warning("could not %s, rescue will: %s", what, error)


def open_client(settings: Settings, *, threads: int = 16) -> Client:
    """Return a client on the settings' database and Redis.

    Raises:
        SettingsError: there is no Redis, or the database cannot be used.
    """
    broker = EngineBroker(settings, seconds=ASKING_SECONDS, middleware=[])
    for queue in ("dispatch", "steps", "steps.long"):
        broker.declare_queue(queue)
    database = Database.open(
        settings.database,
        synchronous=settings.sqlite_synchronous,
        threads=threads,
        payloads=Payloads.of(settings),
    )
    return Client(settings, database, broker)
