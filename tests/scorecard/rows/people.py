"""People who cancel at the wrong moment, edit what runs, kill the server, or never read."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import uuid

import httpx
import psutil

from engine.errors import Conflict
from engine_app.auth.tokens import create_token
from engine_app.auth.viewer import COOKIE, open_session
from tests.scorecard import workload
from tests.scorecard.drill import Drill, Wanted
from tests.scorecard.registry import lacking, row
from tests.scorecard.rows.worker import MOVES_ON
from tests.support.channel import BOOT, LOAD
from tests.support.deaf import deaf_page, deaf_stream
from tests.support.fleet import Worker
from tests.support.processes import answers, eventually, free_port

DEAF = 10  # streams, and as many websockets, that are opened and never read
# What the page with the list of executions calls when it is opened.
PAGE = (BOOT, LOAD)  # each draws the page anew, and watches it
SLOW = 5.0  # seconds that others may wait for an answer meanwhile
FAT = 300_000_000  # bytes by which they may make the server grow


@row("people", "cancel racing completion", recovery="cancel → the end, a sample a cancel", least=40)
def cancel_race(drill: Drill) -> None:
    """Cancel executions at any moment of their short lives: one end each, and the right one."""
    drill.workers(2)
    kinds = [workload.chain(3, seconds=0.05), workload.fan_out(6, seconds=0.05)]
    ids = {given.name: drill.publish(given) for given in kinds}
    cancelled: dict[str, float] = {}
    for _ in range(60):
        given = drill.chance.choice(kinds)
        execution_id = drill.begin(given, workflow_id=ids[given.name])
        assert execution_id is not None
        drill.moment(0, 0.35)
        if len(cancelled) == 20:
            drill.strike()
        at = time.time()
        try:
            drill.fleet.client.cancel(owner_id=drill.fleet.owner_id, execution_id=execution_id)
        except Conflict:
            continue  # it had ended: it must have completed, as was wanted
        drill.accepted[execution_id] = Wanted(("cancelled",))
        cancelled[execution_id] = at
    if not drill.strikes:
        drill.strike()
    drill.heal()
    drill.settle()
    for execution_id, at in cancelled.items():
        finished = drill.fleet.execution(execution_id, "finished_at")[0]
        drill.recoveries += [max(0.0, finished / 1e6 - at)] if finished else []


@row("people", "edit mid-run", recovery=MOVES_ON)
def edit(drill: Drill) -> None:
    """Publish new versions of a workflow while executions of the old ones run."""
    drill.workers(2)
    strikes = []
    for version in range(1, 5):
        given = workload.chain(2 + version, seconds=0.3)
        # One name for all versions, another length and so another output for each.
        document = {**given.document, "name": "edited"}
        workflow_id = drill.publish(workload.Given("edited", document, given.output))
        for _ in range(6):
            drill.begin(given, workflow_id=workflow_id)
        drill.moment(0.2, 0.8)
        strikes.append(drill.strike())
    drill.heal()
    drill.settle()
    drill.moved_on(*strikes)


# --- the server of pages and API ------------------------------------------------------------------


_NOT_BUILT = {
    "__REFLEX_SKIP_COMPILE": "true",
    "REFLEX_ENV_MODE": "prod",
    "REFLEX_TELEMETRY_ENABLED": "false",
    "REFLEX_CHECK_LATEST_VERSION": "false",
}


class Served:
    """The web server as ``engine up`` runs it: API and live channel, only without built pages."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        _, secret = create_token(drill.fleet.database, drill.fleet.owner_id, "drill")
        self.headers = {"Authorization": f"Bearer {secret}"}
        self.process = self.start()

    def start(self) -> Worker:
        """Start the server and return it once it answers."""
        how = ("--interface", "asgi", "--factory", "--port", str(self.port), "--no-access-log")
        command = (sys.executable, "-m", "granian", *how, "engine_app.engine_app:app")
        self.process = self._drill.fleet.run(*command, ENGINE_PORT=str(self.port), **_NOT_BUILT)
        eventually(lambda: answers(self.port), seconds=40, what="the API answers")
        return self.process

    def execute(self, workflow_id: str, key: str) -> str | None:
        """Ask for an execution and return its id, or None when no 202 came back."""
        address = f"{self.url}/api/workflows/{workflow_id}/execute"
        headers = {**self.headers, "Idempotency-Key": key}
        try:
            answer = httpx.post(address, headers=headers, json={"input": {}}, timeout=10)
        except httpx.TransportError:
            return None
        return str(answer.json()["execution_id"]) if answer.status_code == 202 else None


@row("people", "UI server killed", recovery="kill → the next 202, a sample a kill", least=20)
def server_killed(drill: Drill) -> None:
    """Kill -9 the server while callers start executions and repeat what got no answer."""
    drill.workers(2)
    served = Served(drill)
    given = workload.chain(3, seconds=0.1)
    workflow_id = drill.publish(given)
    over, answered = threading.Event(), list[float]()

    def call() -> None:
        while not over.wait(0.1):
            key, execution_id = str(uuid.uuid4()), None
            while execution_id is None and not over.wait(0.05):
                execution_id = served.execute(workflow_id, key)
            if execution_id is not None:
                answered.append(time.time())
                drill.accepted[execution_id] = Wanted(output=given.output)

    callers = [threading.Thread(target=call, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    kills = []
    for _ in range(2):
        drill.last(3)
        kills.append(drill.strike().at)
        served.process.kill()
        served.start()
    drill.heal()
    drill.last(3)
    over.set()
    for caller in callers:
        caller.join(30)
    drill.settle()
    for at in kills:
        drill.recoveries.append(min(moment for moment in answered if moment > at) - at)
    _expect_each_key_once(drill)


def _expect_each_key_once(drill: Drill) -> None:
    sql = "SELECT idempotency_key, count(*) FROM executions WHERE idempotency_key IS NOT NULL"
    again = drill.fleet.query(f"{sql} GROUP BY idempotency_key HAVING count(*) > 1")
    drill.broken += [f"request {key} was carried out {times} times" for key, times in again]


@row("people", "a websocket client that never reads", least=20)
def never_reads(drill: Drill) -> None:
    """Pages and streams are opened and never read while the server serves others."""
    drill.workers(2)
    served = Served(drill)
    watched = workload.fan_out(200, seconds=0.02)
    execution_id = drill.begin(watched)
    assert execution_id is not None
    cookie = f"{COOKIE}={open_session(drill.fleet.database, drill.fleet.owner_id, hours=1)}"
    before, worst = _memory(served.process), 0.0
    with contextlib.ExitStack() as stack:
        path = f"/api/executions/{execution_id}/events"
        for _ in range(DEAF):
            stack.enter_context(deaf_stream(served.port, path, served.headers))
            stack.enter_context(deaf_page(served.port, cookie, "/monitoring", *PAGE, times=50))
        drill.strike()
        with drill.traffic():
            seen = _read_all(served, execution_id)
            for _ in range(40):
                begun = time.monotonic()
                httpx.get(f"{served.url}/api/health", timeout=20).raise_for_status()
                worst = max(worst, time.monotonic() - begun)
                drill.last(0.2)
        grown = _memory(served.process) - before
    drill.heal()
    drill.settle()
    last = drill.fleet.execution(execution_id, "last_seq")[0]
    if seen != list(range(1, last + 1)):
        drill.broken.append(f"the client that reads saw {len(seen)} of {last} events")
    if worst > SLOW:
        drill.broken.append(f"an answer took {worst:.1f} s")
    if grown > FAT:
        drill.broken.append(f"the server grew by {grown / 1e6:.0f} MB")
    drill.notes.append(f"slowest answer {worst:.2f} s, the server grew by {grown / 1e6:.0f} MB")


def _read_all(served: Served, execution_id: str) -> list[int]:
    """Return the numbers of all events of an execution, read as they happen to its end."""
    address = f"{served.url}/api/executions/{execution_id}/events"
    with httpx.stream("GET", address, headers=served.headers, timeout=30) as answer:
        return [int(line[4:]) for line in answer.iter_lines() if line.startswith("id: ")]


def _memory(worker: Worker) -> int:
    family = psutil.Process(worker.process.pid)
    return sum(process.memory_info().rss for process in (family, *family.children(recursive=True)))


WEBHOOKS = "the engine sends no webhooks yet"
lacking("webhook-down", "people", "webhook receiver down", WEBHOOKS)
lacking("webhook-slow", "people", "webhook receiver slow", WEBHOOKS)
lacking("webhook-redirecting", "people", "webhook receiver redirecting", WEBHOOKS)
