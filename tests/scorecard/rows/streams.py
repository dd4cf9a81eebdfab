"""Clients of the event stream whose connections are cut a thousand times."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPResponse

from tests.scorecard import workload
from tests.scorecard.drill import Drill, Weak
from tests.scorecard.registry import row
from tests.scorecard.rows.people import Served

RECONNECTS = 1000  # of all clients together
LANES, PAIR = 8, 2  # executions at a time, and clients of each
LONGEST = 180.0  # seconds within which there must have been so many
_EVENT = re.compile(rb"id: (\d+)\nevent: (\w+)\n")


class Follower:
    """A client that is cut at any byte, and asks again after the last event that it had whole."""

    def __init__(self, served: Served, chance: random.Random) -> None:
        self._served = served
        self._chance = chance
        self.seen: dict[str, list[tuple[int, str]]] = {}
        self.cuts = 0
        self.answered: list[float] = []  # seconds from each cut to the stream's next answer

    def follow(self, execution_id: str, cuts: int) -> None:
        """Read an execution's events to its end, while there are ``cuts`` left cut off again."""
        seen = self.seen.setdefault(execution_id, [])
        cut_at = None
        while True:
            connection = HTTPConnection("127.0.0.1", self._served.port, timeout=20)
            try:
                answer = self._ask(connection, execution_id, seen)
                if cut_at is not None:
                    self.answered.append(time.monotonic() - cut_at)
                if answer.status == 204 or self._read(connection, answer, seen, self.cuts < cuts):
                    return
                self.cuts += 1
            except (OSError, HTTPException):
                pass  # not by us: a client comes back all the same
            finally:
                connection.close()
            cut_at = time.monotonic()

    def _ask(
        self, connection: HTTPConnection, execution_id: str, seen: list[tuple[int, str]]
    ) -> HTTPResponse:
        last = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
        path = f"/api/executions/{execution_id}/events"
        connection.request("GET", path, headers={**self._served.headers, **last})
        return connection.getresponse()

    def _read(
        self,
        connection: HTTPConnection,
        answer: HTTPResponse,
        seen: list[tuple[int, str]],
        cut: bool,
    ) -> bool:
        """Read until a seeded moment or byte, or to the end; return whether that was the end."""
        moment = time.monotonic() + (self._chance.uniform(0, 0.25) if cut else LONGEST)
        room = self._chance.randint(1, 1500) if cut else 1 << 30
        rest = b""
        while room > 0 and (left := moment - time.monotonic()) > 0:
            if connection.sock is not None:
                connection.sock.settimeout(left)
            try:
                piece = answer.read1(min(room, 4096))
            except TimeoutError:
                return False
            if not piece:
                raise HTTPException("the server ended the stream")
            room -= len(piece)
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                if block.startswith(b"event: end"):
                    return True
                if found := _EVENT.match(block):
                    seen.append((int(found[1]), found[2].decode()))
        return False


@row(
    "people",
    "clients that reconnect 1,000 times",
    recovery="cut → the stream answers again, a sample a reconnect",
)
def reconnects(drill: Drill) -> None:
    """Cut clients of the event stream at any byte while the executions they follow go on."""
    drill.workers(2)
    served = Served(drill)
    wanted = max(100, int(RECONNECTS * min(1.0, drill.scale)))
    each = -(-wanted // (LANES * PAIR))
    kinds = [workload.chain(20, seconds=0.15), workload.fan_out(24, seconds=0.15)]
    ids = [drill.publish(given) for given in kinds]
    until = time.monotonic() + LONGEST

    def lane(seed: int) -> list[Follower]:
        chance = random.Random(seed)
        pair = [Follower(served, random.Random(chance.random())) for _ in range(PAIR)]
        with ThreadPoolExecutor(PAIR) as threads:
            while any(one.cuts < each for one in pair) and time.monotonic() < until:
                kind = chance.randrange(len(kinds))
                execution_id = drill.begin(kinds[kind], workflow_id=ids[kind])
                assert execution_id is not None
                list(threads.map(lambda one, of=execution_id: one.follow(of, each), pair))
        return pair

    with ThreadPoolExecutor(LANES) as lanes:
        running = [lanes.submit(lane, drill.chance.randrange(2**32)) for _ in range(LANES)]
        drill.moment(1, 2)
        drill.strike()
        followers = [one for found in running for one in found.result(LONGEST + 60)]
    drill.heal()
    drill.settle()
    _compare(drill, followers)
    cuts = sum(one.cuts for one in followers)
    if cuts < wanted:
        raise Weak(f"only {cuts} of {wanted} reconnects within {LONGEST:g} s")


def _compare(drill: Drill, followers: list[Follower]) -> None:
    """Hold what each client saw against the database: each event once, in order."""
    told: dict[str, list[tuple[int, str]]] = {}
    for execution_id, seq, kind in drill.fleet.query(
        "SELECT execution_id, seq, type FROM events ORDER BY execution_id, seq"
    ):
        told.setdefault(execution_id, []).append((seq, kind))
    missed = doubled = total = 0
    for one in followers:
        drill.recoveries += one.answered
        for execution_id, seen in one.seen.items():
            total += len(seen)
            gone = sorted(set(told[execution_id]) - set(seen))
            again = [event for event, times in Counter(seen).items() if times > 1]
            missed, doubled = missed + len(gone), doubled + len(again)
            if seen != told[execution_id]:
                odd = f"missed {gone[:5]}, saw {again[:5]} twice" if gone or again else "order"
                drill.broken.append(f"a client of {execution_id}: {odd}")
    drill.notes.append(
        f"{sum(one.cuts for one in followers)} reconnects of {len(followers)} clients, {total}"
        f" events seen, {missed} missed, {doubled} doubled"
    )
