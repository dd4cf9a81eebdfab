"""Messages on their way, delivered one by one: in order or shuffled, once or twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from engine.flow.outgoing import ActorCall, Sends
from engine.store.writes.step_runs import Ticket
from engine.testing.clock import Clock
from engine.testing.in_memory_engine import Bench
from engine.worker.run import Executor

if TYPE_CHECKING:
    from engine.testing.fake_actors import StandIns

Mail = Ticket | ActorCall | str  # a text is the id of an execution to look at


class Post:
    """What has been sent and not delivered yet."""

    def __init__(self, bench: Bench, clock: Clock) -> None:
        self._bench = bench
        self._clock = clock
        self._now: list[Mail] = []
        self._copies: list[Mail] = []
        self._later: list[tuple[int, Ticket]] = []  # with the µs at which each is due
        self.doubled = False
        self.order: random.Random | None = None

    def put(self, sends: Sends) -> None:
        """Take messages to be delivered."""
        self._now += [*sends.dispatches, *sends.now, *sends.calls]
        self._later += [(self._clock.micros + delay, ticket) for ticket, delay in sends.later]

    @property
    def waits(self) -> bool:
        """Whether a message is due now."""
        now = self._clock.micros
        due = [ticket for at, ticket in self._later if at <= now]
        self._later = [(at, ticket) for at, ticket in self._later if at > now]
        self._now += due
        return bool(self._now or self._copies)

    @property
    def next_due(self) -> int | None:
        """When the next message is due, in µs."""
        return min((at for at, _ticket in self._later), default=None)

    def deliver(self, executor: Executor, stand_ins: StandIns) -> None:
        """Deliver one message; what it sends is put with the others."""
        mail = self._take()
        if isinstance(mail, str):
            self.put(self._bench.look_at(mail))
        elif isinstance(mail, Ticket):
            self.put(executor.run(mail))
        else:
            self.put(stand_ins.answer(mail))

    def _take(self) -> Mail:
        count = len(self._now)
        at = 0 if self.order is None else self.order.randrange(count + len(self._copies))
        if at >= count:
            return self._copies.pop(at - count)
        mail = self._now.pop(at)
        if self.doubled:
            self._copies.append(mail)
        return mail
