"""A Redis that forgets, dies, refuses, stalls, doubles, and hands over what nobody can read."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.store.writes.step_runs import Ticket
from tests.scorecard.drill import Drill, Weak
from tests.scorecard.registry import BY_MESSAGE, row
from tests.scorecard.rows.worker import MOVES_ON
from tests.support.processes import eventually

BACK = "Redis is back → 90 % of the throughput before, of new work, a sample a fault"
LOSSES = 40  # messages that vanish in a run


@row("Redis", "FLUSHALL", recovery=MOVES_ON, variables=BY_MESSAGE)
def flushall(drill: Drill) -> None:
    """Redis forgets everything, three times."""
    drill.workers(2)
    strikes = []
    with drill.traffic():
        for _ in range(3):
            drill.mixture()
            drill.moment(0.5, 2.5)
            strikes.append(drill.strike())
            drill.fleet.client.redis.flushall()
        drill.heal()
    drill.settle()
    drill.moved_on(*strikes)
    if drill.scale == 1:
        # With leases of a second a busy machine's late beat may cost a claim.
        drill.expect_no_crash()


def _killed(drill: Drill) -> None:
    """Kill -9 Redis under traffic and start it again."""
    drill.workers(2)
    with drill.outage():
        drill.fleet.restart_redis()


@row("Redis", "kill -9 without AOF", recovery=BACK, variables=BY_MESSAGE)
def redis_killed(drill: Drill) -> None:
    """It comes back empty."""
    _killed(drill)


@row(
    "Redis",
    "kill -9 with AOF",
    recovery=BACK,
    variables=BY_MESSAGE,
    redis={"appendonly": "yes", "dir": "{folder}"},
)
def redis_killed_with_aof(drill: Drill) -> None:
    """It comes back with what it had: also with messages of workers that went on meanwhile."""
    _killed(drill)


@row("Redis", "maxmemory", recovery=BACK, variables=BY_MESSAGE)
def maxmemory(drill: Drill) -> None:
    """It is full and refuses every message for a while."""
    drill.workers(2)
    with drill.outage():
        drill.fleet.client.redis.config_set("maxmemory", 1)
        eventually(
            lambda: any(worker.says("'maxmemory'") for worker in drill.fleet.workers),
            seconds=20,
            what="a message is refused",
        )
        drill.moment(1, 3)
        drill.fleet.client.redis.config_set("maxmemory", 0)


@row("Redis", "7 s stall", recovery=BACK, variables=BY_MESSAGE)
def redis_stall(drill: Drill) -> None:
    """It accepts everything and answers nothing for 7 s."""
    between = drill.before_redis()
    drill.workers(2)
    with drill.outage():
        between.hold()
        drill.last(7)
        between.heal()


@row("Redis", "cut and heal", recovery=BACK, variables=BY_MESSAGE)
def redis_cut(drill: Drill) -> None:
    """Every connection is cut, and no new one is let in for some seconds."""
    between = drill.before_redis()
    drill.workers(2)
    with drill.outage():
        between.cut()
        drill.moment(3, 6)
        between.heal()


@row("Redis", "doubled and reordered messages", recovery=MOVES_ON, variables=BY_MESSAGE)
def doubled(drill: Drill) -> None:
    """Messages for every live step run, shuffled, of the epoch it has, had or may have next."""
    drill.workers(2)
    with chaos(drill) as sent:
        for _ in range(3):
            drill.mixture()
        strike = drill.strike()
        drill.moment(1, 2)
        drill.heal()
        drill.settle()
    if len(sent) < 100:
        raise Weak(f"only {len(sent)} messages were doubled")
    drill.notes.append(f"{len(sent)} messages sent beside the engine's own")
    starts = Counter((effect.key, effect.attempt) for effect in drill.fleet.effects("start"))
    drill.expect("attempts that began twice", [a for a, n in starts.items() if n > 1], [])
    drill.moved_on(strike)


@contextmanager
def chaos(drill: Drill) -> Iterator[list[Ticket]]:
    """Send stale, doubled and early messages in any order until the block ends."""
    over, sent = threading.Event(), list[Ticket]()
    live = "SELECT execution_id, step, item, epoch, queue FROM step_runs WHERE status IN"
    live += " ('queued', 'running', 'retrying', 'waiting') ORDER BY execution_id, step, item"

    def send() -> None:
        while not over.wait(0.1):
            tickets = [
                Ticket(execution_id, step, item, epoch + drill.chance.choice((-1, 0, 0, 1)), queue)
                for execution_id, step, item, epoch, queue in drill.fleet.query(live)
            ]
            drill.chance.shuffle(tickets)
            drill.fleet.send(tickets, {ticket.execution_id for ticket in tickets})
            sent.extend(tickets)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join(20)


@row(
    "Redis",
    "single messages lost",
    recovery="loss → its step, or its dispatch, starts, a sample a message",
    variables=BY_MESSAGE,
)
def message_lost(drill: Drill) -> None:
    """Messages vanish one by one, each as it is sent, with their content; all else stays."""
    drill.workers(2)
    lost: dict[tuple[Any, ...], float] = {}
    with drill.traffic():
        for number in range(max(8, int(LOSSES * min(1.0, drill.scale)))):
            if number % 10 == 0:
                drill.mixture()
            drill.moment(0.3, 1.2)
            drill.strike()
            _lose(drill, drill.chance.choice(("dispatch", "steps", "steps", "steps")), lost)
        drill.heal()
    drill.settle()
    starts = _starts(drill)
    for what, at in lost.items():
        # One that was sent twice, and came the other time, has cost nothing.
        after = [start for start in starts.get(what, ()) if start > at]
        drill.recoveries += [min(after) - at] if after else []
    drill.notes.append(f"{len(lost)} messages lost, {len(drill.recoveries)} of them waited for")
    if len(drill.recoveries) < 0.7 * len(lost):
        raise Weak("too few of the lost messages were waited for")


def _lose(drill: Drill, queue: str, lost: dict[tuple[Any, ...], float]) -> None:
    """Take the next message that is sent through ``queue`` and note whose it was, and when.

    Redis hands it over before any worker hears of it. Until its content is gone too, a trip
    later, it looks like one that a worker holds.
    """
    client: Any = drill.fleet.client.redis
    taken = client.blpop([f"engine:{queue}"], timeout=10)
    if taken is None:
        raise Weak(f"nothing was sent through {queue}")
    with client.pipeline(transaction=True) as pipe:
        pipe.hget(f"engine:{queue}.msgs", taken[1])
        pipe.hdel(f"engine:{queue}.msgs", taken[1])
        content, _ = pipe.execute()
    message = json.loads(content)
    what = (message["actor_name"], *message["args"][:3])
    if what in lost:
        # It was lost before, and sent again: single losses are measured, so it goes back.
        client.hset(f"engine:{queue}.msgs", taken[1], content)
        client.rpush(f"engine:{queue}", taken[1])
    else:
        lost[what] = time.time()


def _starts(drill: Drill) -> dict[tuple[Any, ...], list[float]]:
    """Return when each dispatch, and each step run, started."""
    sql = "SELECT type, execution_id, step, item, at FROM events"
    found: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for kind, execution_id, step, item, at in drill.fleet.query(sql):
        if kind == "started":
            found[("dispatch", execution_id)].append(at / 1e6)
        if kind == "step_started":
            run = ("run_step", execution_id, step, -1 if item is None else item)
            found[run].append(at / 1e6)
    return found


@row("Redis", "undecodable message", recovery=MOVES_ON, variables=BY_MESSAGE)
def undecodable(drill: Drill) -> None:
    """Bytes that are no message wait in each queue, before those that are."""
    drill.workers(2)
    drill.mixture()
    strike = drill.strike()
    client = drill.fleet.client.redis
    for queue in ("dispatch", "steps", "steps.long"):
        for number, rubbish in enumerate((b"\xff\xfe no JSON", b"[]", b'{"queue_name": 3}')):
            key = f"rubbish-{number}"
            client.hset(f"engine:{queue}.msgs", key, rubbish)  # type: ignore[arg-type]
            client.rpush(f"engine:{queue}", key)
    drill.mixture()
    drill.heal()
    drill.settle()
    drill.moved_on(strike)


@row("Redis", "unknown actor", recovery=MOVES_ON, variables=BY_MESSAGE)
def unknown_actor(drill: Drill) -> None:
    """Messages for actors that nobody has, and for ours with arguments that fit nothing."""
    drill.workers(2)
    drill.mixture()
    strike = drill.strike()
    for queue in ("dispatch", "steps"):
        drill.fleet.enqueue("nobody", 1, queue=queue)
    drill.fleet.enqueue("run_step", "no-such-execution", 0, -1, 1, queue="steps")
    drill.fleet.enqueue("dispatch", "no-such-execution", queue="dispatch")
    drill.mixture()
    drill.heal()
    drill.settle()
    drill.moved_on(strike)
