"""Real worker processes on a database and a Valkey of their own, to be stopped and killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from dramatiq import Message

from engine import settings
from engine.commands.publish import publish
from engine.definition import parse
from engine.flow.outgoing import Sends
from engine.settings import Settings
from engine.store.writes import users
from engine.store.writes.step_runs import Ticket
from tests.support import effects
from tests.support.effects import Effect
from tests.support.looking import Looking
from tests.support.postgres import create_database, drop_database
from tests.support.processes import eventually
from tests.support.valkey import valkey

with pytest.MonkeyPatch.context() as patched:
    # The actors make their broker when they are imported; this process runs none of them.
    patched.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    from actors import messages
    from actors.client import Client, open_client
settings.current.cache_clear()

ROOT = Path(__file__).parents[2]
STEPS = "tests.support.steps_for_tests"
_FOREIGN = ("ENGINE_", "DATABASE_URL", "REDIS_URL", "dramatiq_")
# Deaths are found sooner than by default, yet a busy machine's late beat is none.
QUICK = {
    "ENGINE_HEARTBEAT_SECONDS": "0.6",
    "ENGINE_LEASE_SECONDS": "3",
    "ENGINE_SWEEP_SECONDS": "0.3",
}
_PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h
_libc = ctypes.CDLL(None)
_OPEN = "('pending', 'running', 'waiting', 'paused')"


def _end_with_parent() -> None:
    """Have a program end when the test run is killed: nothing may be left behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


class Worker:
    """One ``dramatiq actors`` with one worker process under it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """The process in which steps run."""
        [child] = psutil.Process(self.process.pid).children()
        return int(child.pid)

    @property
    def ended(self) -> bool:
        """Whether the whole family is gone."""
        return self.process.poll() is not None

    def says(self, words: str) -> bool:
        """Return whether its log has these words by now."""
        return words in self.log.read_text()

    def kill(self) -> None:
        """Kill -9 the process in which steps run, and what started it."""
        family = [psutil.Process(self.process.pid)]
        family += family[0].children(recursive=True)
        for member in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process in which steps run."""
        os.kill(self.pid, number)

    def stop(self, seconds: float = 30) -> int:
        """Ask it to stop, as a supervisor does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


class Fleet(Looking):
    """Workers, their servers, and a client that starts executions and looks at them."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        redis_settings: Mapping[str, str] | None = None,
        /,
        **variables: str,
    ) -> None:
        self.folder = folder
        self._redis_settings = redis_settings
        self.workers: list[Worker] = []
        self.effects_file = folder / "effects"
        self._servers = contextlib.ExitStack()
        self.redis_url = self._servers.enter_context(valkey(settings=redis_settings))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        self.variables = {
            **inherited,
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis_url,
            "ENGINE_HOME": str(folder),
            "ENGINE_MODULES": STEPS,
            "PYTHONPATH": str(ROOT),
            effects.VARIABLE: str(self.effects_file),
            **variables,
        }
        self.client: Client = open_client(
            Settings(DATABASE_URL=database_url, REDIS_URL=self.redis_url, home=folder)
        )
        self.database = self.client.database
        now = self.database.now()
        self.owner_id = self.database.write(lambda connection: users.add(connection, "owner", now))

    # --- workers ------------------------------------------------------------------------------

    def start(self, *, threads: int = 4, **variables: str) -> Worker:
        """Start a worker and return it at once; see ``await_ready``."""
        flags = ["--processes", "1", "--threads", str(threads)]
        return self.run(sys.executable, "-m", "dramatiq", "actors", *flags, **variables)

    def run(self, *command: str, **variables: str) -> Worker:
        """Start any program in the workers' environment."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.variables, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # prctl takes no lock
            )
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def await_ready(self, count: int | None = None) -> Fleet:
        """Return once all workers started so far (or ``count``) have introduced themselves."""
        wanted = len(self.workers) if count is None else count
        sql = "SELECT count(*) FROM workers"
        self._await(lambda: self.query(sql)[0][0] >= wanted, 40, f"{wanted} workers are ready")
        return self

    def keep(self, count: int) -> None:
        """Start workers until ``count`` live, as a supervisor would."""
        for _ in range(count - sum(not worker.ended for worker in self.workers)):
            self.start()

    def restart_redis(self) -> None:
        """Kill -9 the Valkey and start another with its settings at its address."""
        os.kill(int(self.client.redis.info("server")["process_id"]), signal.SIGKILL)  # type: ignore[index]
        port = int(self.redis_url.rsplit(":", 1)[1].split("/")[0])
        self._servers.enter_context(valkey(port=port, settings=self._redis_settings))

    def close(self) -> None:
        """End every process that was started here."""
        for worker in self.workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        self.client.close()
        self._servers.close()

    # --- executions ---------------------------------------------------------------------------

    def publish(self, name: str, steps: dict[str, Any], **more: Any) -> str:
        """Publish a document and return the workflow's id."""
        definition = parse({"name": name, "steps": steps, **more})
        return publish(self.database, self.owner_id, definition).workflow_id

    def begin(self, workflow_id: str, input: Any = None, **more: Any) -> str:
        """Start an execution and return its id."""
        started = self.client.start(
            owner_id=self.owner_id, workflow_id=workflow_id, input=input or {}, **more
        )
        return started.execution_id

    def send(self, tickets: Iterable[Ticket] = (), dispatches: Iterable[str] = ()) -> None:
        """Send messages behind the engine's back, as many and in the order given."""
        messages.send(self.client.broker, Sends(now=list(tickets), dispatches=list(dispatches)))

    def enqueue(self, actor: str, *arguments: Any, queue: str = "dispatch", **options: Any) -> None:
        """Send any message."""
        message: Message[Any] = Message(
            queue_name=queue, actor_name=actor, args=arguments, kwargs={}, options=options
        )
        self.client.broker.enqueue_many([message])

    def await_end(self, *execution_ids: str, seconds: float = 30) -> None:
        """Return once these executions (or all there are) have ended."""
        sql = f"SELECT id FROM executions WHERE status IN {_OPEN}"

        def ended() -> bool:
            still = {row[0] for row in self.query(sql)}
            return not (still & set(execution_ids) if execution_ids else still)

        self._await(ended, seconds, "the executions end")

    def await_status(self, execution_id: str, step: int, status: str) -> None:
        """Return once the step run has this status."""
        sql = "SELECT status FROM step_runs WHERE execution_id = :id AND step = :step AND item = -1"
        self._await(
            lambda: self.query(sql, id=execution_id, step=step) == [(status,)],
            20,
            f"step {step} is {status}",
        )

    def await_effect(
        self, kind: str, *, step: str | None = None, count: int = 1, seconds: float = 20
    ) -> list[Effect]:
        """Return the facts of this kind once there are ``count`` of them."""

        def found() -> list[Effect]:
            return [effect for effect in self.effects(kind) if step is None or effect.step == step]

        self._await(lambda: len(found()) >= count, seconds, f"{count} × {kind} of {step or 'any'}")
        return found()

    def effects(self, kind: str | None = None) -> list[Effect]:
        """Return what steps did so far."""
        return [e for e in effects.read(self.effects_file) if kind is None or e.kind == kind]

    def _await(self, holds: Callable[[], object], seconds: float, what: str) -> None:
        try:
            eventually(holds, seconds=seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._report()}") from None

    def _report(self) -> str:
        """What a person would ask first when something never happened."""
        asked = {
            "executions": f"SELECT id, status, reason, ending, active, steps_left, due_at"
            f" FROM executions WHERE status IN {_OPEN} LIMIT 5",
            "step runs": "SELECT execution_id, step, item, status, epoch, attempts, crashes, due_at"
            " FROM step_runs WHERE status IN ('queued', 'running', 'retrying', 'waiting') LIMIT 8",
            "workers": "SELECT id, pid, beat_at, stopped_at FROM workers",
        }
        parts = [f"{what}: {self.query(sql)}" for what, sql in asked.items()]
        parts += [f"--- {w.log.name}\n{w.log.read_text()[-1500:]}" for w in self.workers]
        return "\n".join([f"now {self.database.now()}", *parts])


def ref(step: str) -> str:
    """Return the expression for a step's output."""
    return f"${{{{ steps.{step}.output }}}}"


def chain(length: int, function: str = "inc", **params: Any) -> dict[str, Any]:
    """Return the steps of a chain, each fed by the one before."""
    steps: dict[str, Any] = {"s0": python(function, x=0, **params)}
    for index in range(1, length):
        steps[f"s{index}"] = python(function, x=ref(f"s{index - 1}"), **params)
    return steps


def fan_out(items: int, function: str, **params: Any) -> dict[str, Any]:
    """Return a step that runs once for each of so many items, and one that adds them up."""
    each = python(function, **params, options={"for_each": list(range(items))})
    return {"each": each, "sum": python("total", numbers=ref("each"))}


def python(function: str, **params: Any) -> dict[str, Any]:
    """Return a step that calls a function of ``steps_for_tests``; ``options`` are the step's."""
    options = params.pop("options", {})
    return {"uses": "python", "with": {"function": f"{STEPS}.{function}", **params}, **options}


@contextlib.contextmanager
def new_database(request: pytest.FixtureRequest, kind: str) -> Iterator[str]:
    """Yield the URL of a migrated database of its own, for fixtures of any scope."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="engine-test-") as folder:
            shutil.copyfile(request.getfixturevalue("sqlite_template"), f"{folder}/engine.db")
            yield f"sqlite:///{folder}/engine.db"
        return
    server = request.getfixturevalue("postgres_url")
    name = f"fleet_{uuid.uuid4().hex[:12]}"
    yield create_database(server, name, template=request.getfixturevalue("postgres_template"))
    drop_database(server, name)


@contextlib.contextmanager
def fleet_on(
    request: pytest.FixtureRequest,
    kind: str,
    *,
    workers: int = 0,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Fleet]:
    """Yield a fleet on a database of its own with ``workers`` ready; ends all it started."""
    with (
        new_database(request, kind) as url,
        tempfile.TemporaryDirectory(prefix="engine-test-", ignore_cleanup_errors=True) as folder,
    ):
        fleet = Fleet(url, Path(folder), **(variables or {}))
        try:
            for _ in range(workers):
                fleet.start()
            yield fleet.await_ready()
        finally:
            fleet.close()
