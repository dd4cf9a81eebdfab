"""A database that restarts, answers too late or never, is full, or has no room for more."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
from sqlalchemy import make_url

from engine.commands.start import start
from engine.flow.definition_cache import Versions
from engine.store.db.database import Database
from tests.scorecard import workload
from tests.scorecard.drill import Drill, Wanted, Weak
from tests.scorecard.registry import BY_MESSAGE, POSTGRES, SQLITE, row
from tests.scorecard.rows.worker import MOVES_ON
from tests.support.processes import eventually

BACK = "the database is back → 90 % of the throughput before, of new work, a sample a fault"
WRITERS = 8
# As it is prepared: its name, and how the text of a fast write begins and goes on.
_COMMITS_ITSELF = re.compile(rb"(_pg\w+)\x00WITH head AS [^\x00]*?written AS")


@row(
    "database",
    "PostgreSQL immediate restart in a transaction",
    recovery=BACK,
    absent={SQLITE: "no server stands between the engine and its file"},
)
def postgres_restart(drill: Drill) -> None:
    """Every session is cut in the middle of what it does; the server recovers from its log."""
    server = drill.bench.server
    assert server is not None
    drill.workers(2)
    with drill.outage():
        server.crash()
        drill.moment(0, 3)
        server.start_again()


@row("database", "reply to COMMIT lost", recovery=MOVES_ON, variables=BY_MESSAGE)
def commit_reply_lost(drill: Drill) -> None:
    """The engine asks for a commit and never hears what came of it."""
    if drill.bench.server is None:
        _answers_lost(drill)
    else:
        _replies_dropped(drill)


def _answers_lost(drill: Drill) -> None:
    """SQLite: the file always answers, so the answer is lost in the worker, after the commit."""
    for _ in range(3):
        # Odd, so that both a claim and what came of it are hit.
        nth = drill.chance.choice((5, 7, 9))
        drill.workers(1, {"ENGINE_FAILPOINTS": f"after_commit=raise@{nth}x4"})
    with drill.traffic(8.0):
        for _ in range(2):
            drill.mixture()
        strike = drill.strike()
        eventually(
            lambda: all(worker.says("failpoint") for worker in drill.fleet.workers),
            seconds=30,
            what="each worker has lost an answer",
        )
        drill.last(3)
        drill.heal()
    drill.settle()
    drill.moved_on(strike)


def _replies_dropped(drill: Drill) -> None:
    """PostgreSQL: the proxy drops the reply, or the request, of some commits; both look alike."""
    between = drill.before_postgres()
    losing = _Losing(drill)
    between.drop(losing.choose)
    drill.workers(2)
    with drill.traffic():
        for _ in range(2):
            drill.mixture()
        strike = drill.strike()
        losing.begun = True
        eventually(lambda: between.dropped >= 8, seconds=40, what="8 commits went unanswered")
        between.heal()
        drill.heal()
    drill.settle()
    drill.moved_on(strike)


class _Losing:
    """Chooses eight commits: four of a COMMIT, four of a statement that commits itself.

    Those go by the name under which their connection prepared them, so it listens from the start.
    """

    def __init__(self, drill: Drill) -> None:
        self.begun = False
        self._chance = drill.chance
        self._every = drill.chance.randint(9, 14)
        self._asked = {"COMMIT": 0, "statement": 0}
        self._lost = {"COMMIT": 0, "statement": 0}
        self._names: dict[int, list[bytes]] = defaultdict(list)
        self._lock = threading.Lock()

    def choose(self, connection: int, piece: bytes) -> str | None:
        """Return what becomes of the piece, as ``Proxy.drop`` wants it."""
        names = self._names[connection]
        names += _COMMITS_ITSELF.findall(piece)
        if b"COMMIT\x00" in piece:
            kind = "COMMIT"
        elif any(b"\x00" + name + b"\x00" in piece for name in names):
            kind = "statement"
        else:
            return None
        with self._lock:
            return self._chosen(kind) if self.begun else None

    def _chosen(self, kind: str) -> str | None:
        self._asked[kind] += 1
        if self._asked[kind] % self._every or self._lost[kind] >= 4:
            return None
        self._lost[kind] += 1
        return self._chance.choice(("reply", "reply", "request"))


@row("database", "slow", recovery=BACK)
def slow(drill: Drill) -> None:
    """PostgreSQL: each reply takes 0.3 s. SQLite: another program has the file for 2 s of 2.5."""
    between = None if drill.bench.server is None else drill.before_postgres()
    drill.workers(2)
    with drill.outage():
        if between is not None:
            between.delay = 0.3
            drill.last(12)
            between.heal()
        else:
            for _ in range(5):
                with _file_taken(drill):
                    drill.last(2)
                drill.last(0.5)
    crashes = drill.fleet.query("SELECT coalesce(sum(crashes), 0) FROM step_runs")[0][0]
    drill.notes.append(f"{crashes} claims counted as crashes")


@contextmanager
def _file_taken(drill: Drill) -> Iterator[None]:
    path = str(make_url(drill.fleet.variables["DATABASE_URL"]).database)
    other = sqlite3.connect(path, isolation_level=None, timeout=20)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@row(
    "database",
    "pool exhausted",
    recovery=BACK,
    absent={SQLITE: "a file has no server that could run out of connections"},
)
def pool_exhausted(drill: Drill) -> None:
    """Others take every connection that the server has, and the engine's own are cut."""
    server = drill.bench.server
    assert server is not None
    drill.workers(2)
    name = str(make_url(drill.fleet.variables["DATABASE_URL"]).database)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    master = psycopg.connect(server.url, autocommit=True)
    with contextlib.closing(master), drill.outage(), contextlib.ExitStack() as theirs:
        until = time.monotonic() + 8
        refused = 0
        master.execute(cut, [name])
        while time.monotonic() < until:
            try:
                theirs.enter_context(psycopg.connect(server.url))
            except psycopg.OperationalError:
                refused += 1
                # One that came back between two of ours goes again.
                master.execute(cut, [name])
                drill.last(0.2)
        if not refused:
            raise Weak("the server never ran out of connections")


@row(
    "database",
    "SQLite 8 writers + long reader",
    recovery=MOVES_ON,
    absent={POSTGRES: "its writers and readers do not wait for one another"},
)
def eight_writers(drill: Drill) -> None:
    """Eight writers of their own, and a reader that keeps the log from being folded in."""
    drill.workers(2)
    drill.mixture()
    strike = drill.strike()
    over, starts, logged = threading.Event(), threading.Lock(), list[str]()
    given = workload.chain(2, "quiet")
    workflow_id = drill.publish(given)
    url = drill.fleet.variables["DATABASE_URL"]

    def write() -> None:
        database = Database.open(url)
        versions = Versions(database)
        while not over.wait(0.15):
            admitted = start(
                database,
                versions,
                owner_id=drill.fleet.owner_id,
                workflow_id=workflow_id,
                input={},
                message_id="00000000-0000-0000-0000-000000000000",
            )
            with starts:
                logged.append(admitted.execution_id)
        database.close()

    threads = [threading.Thread(target=write, daemon=True) for _ in range(WRITERS)]
    reader = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM executions").fetchone()
    for thread in threads:
        thread.start()
    drill.last(8)
    over.set()
    for thread in threads:
        thread.join(30)
    reader.execute("ROLLBACK")
    reader.close()
    drill.heal()
    for execution_id in logged:
        drill.accepted[execution_id] = Wanted(output=given.output)
    if len(logged) < 10 * WRITERS:
        raise Weak(f"the writers made {len(logged)} starts only")
    drill.settle(work=20)
    drill.moved_on(strike)


@row(
    "database",
    "disk full",
    recovery=BACK,
    absent={POSTGRES: "its server stops and recovers by itself: what the engine sees is a restart"},
)
def disk_full(drill: Drill) -> None:
    """No file of a worker may grow any more: every write to the database fails."""
    workers = drill.workers(2)
    with drill.outage():
        limit = _largest_other_file(drill) + 200_000
        for worker in workers:
            psutil.Process(worker.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, psutil.RLIM_INFINITY))
        try:
            eventually(
                lambda: any(worker.says("did not answer") for worker in workers),
                seconds=40,
                what="a write fails",
            )
            drill.last(4)
        finally:
            for worker in workers:
                unlimited = (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY)
                psutil.Process(worker.pid).rlimit(psutil.RLIMIT_FSIZE, unlimited)


def _largest_other_file(drill: Drill) -> int:
    """Return the size of the largest file of the workers that is no part of the database."""
    files = [path for path in drill.fleet.folder.iterdir() if path.is_file()]
    return max(path.stat().st_size for path in files)
