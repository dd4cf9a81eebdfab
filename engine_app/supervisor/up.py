"""``engine up``: everything one machine needs, started, watched and stopped together."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time

from engine.errors import EngineError, StartFailed
from engine.settings import Settings
from engine_app import bootstrap, build, embedded
from engine_app.supervisor import checks, forks
from engine_app.supervisor.console import Lines
from engine_app.supervisor.loop import Signals, Supervisor
from engine_app.supervisor.pidfile import Record, only_one
from engine_app.supervisor.programs import ENOUGH, environment, programs, valkey
from engine_app.supervisor.welcome import welcome

_PATIENCE = 60.0  # seconds until a slow start gets a word
_DEATHS_AT_START = 3
_VALKEY_SECONDS = 20.0


def up(settings: Settings, *, reload: bool) -> int:
    """Run until asked to stop; return the exit code.

    Args:
        settings: of this process; children get the same.
        reload: restart what changed when a source file changes.

    Raises:
        EngineError: it cannot start; the message says all that is in the way.
    """
    lines = Lines()
    checks.prepare_home(settings)
    with only_one(settings.home):
        record = Record(settings.home)
        if ended := record.end_leftovers(settings.drain_seconds):
            lines.say(f"ended {ended} processes that an earlier run left behind")
        checks.refuse(settings)
        build.build(lines.say)
        return _Run(settings, lines, record, reload=reload).run()


class _Run:
    """One run from the first process to the last."""

    def __init__(self, settings: Settings, lines: Lines, record: Record, *, reload: bool) -> None:
        self._settings = settings
        self._lines = lines
        self._reloads = reload
        self._signals = Signals()
        # Not when sources may change: a copy would go on with the modules as they were.
        copied = forks.POSSIBLE and not reload
        if copied:
            forks.preload(settings.database)
        self._found = forks.apart(bootstrap.prepare, settings)
        self._supervisor = Supervisor(
            environment(settings),
            lines=lines,
            signals=self._signals,
            record=record,
            died=self._buried,
            copies=copied,
        )

    def run(self) -> int:
        """Start, watch, stop."""
        try:
            self._start()
            self._watch()
        finally:
            self._stop()
        return 0

    def _buried(self, pids: set[int]) -> None:
        if not bootstrap.mark_stopped(self._settings, pids):
            self._lines.say("the database does not answer: the worker's steps wait for its lease")

    def _start(self) -> None:
        if embedded.wanted(self._settings):
            self._start_valkey()
        # In two waves: all at once would compete for the same cores until all are up
        first, others = programs(self._settings)[:ENOUGH], programs(self._settings)[ENOUGH:]
        for program in first:
            self._supervisor.add(program)
        self._await_ready()
        if not self._signals.requests:
            for program in others:
                self._supervisor.add(program)
            found = self._found
            link = self._settings.origin + bootstrap.link(self._settings, found.user_id)
            self._lines.show(welcome(self._settings, found.user, link, found.workflows))
            self._lines.say(f"ready after {self._lines.seconds:.1f} s; Ctrl-C stops it")

    def _await_ready(self) -> None:
        late = False
        while not self._signals.requests and not _is_ready(self._settings):
            self._supervisor.turn()
            self._refuse_deaths()
            if not late and self._lines.seconds > _PATIENCE:
                late = True
                self._lines.say("still starting: the lines above say what it waits for")

    def _start_valkey(self) -> None:
        self._supervisor.add(valkey(self._settings))
        deadline = time.monotonic() + _VALKEY_SECONDS
        while not embedded.answers(self._settings):
            self._supervisor.turn()
            self._refuse_deaths()
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"the embedded Valkey does not answer; {embedded.log(self._settings)} says why"
                )
        embedded.announce(self._settings)

    def _refuse_deaths(self) -> None:
        for child in self._supervisor.children:
            if child.deaths >= _DEATHS_AT_START:
                raise StartFailed(
                    f"{child.program.name} ended {child.deaths} times while starting",
                    hint="its lines above say why",
                )

    def _watch(self) -> None:
        if self._reloads:
            self._watch_sources()
        while not self._signals.requests:
            self._supervisor.turn()

    def _watch_sources(self) -> None:
        # Here and not above: its libraries are for those who work on the engine alone.
        from engine_app.supervisor.watch import Watcher  # noqa: PLC0415

        watcher = Watcher(self._signals.wake)
        while not self._signals.requests:
            self._supervisor.turn()
            if watcher.take():
                self._reload()

    def _reload(self) -> None:
        self._lines.say("sources have changed: restarting")
        try:
            build.build(self._lines.say)
        except EngineError as error:
            self._lines.say(str(error))
            return
        self._supervisor.restart(lambda name: name != "valkey", self._settings.drain_seconds)
        push = [sys.executable, "-m", "engine_app.cli", "workflows", "push", "--shared"]
        done = subprocess.run(  # noqa: S603  # our own command line
            push, env=environment(self._settings), capture_output=True, text=True, check=False
        )
        self._lines.say((done.stdout + done.stderr).strip())

    def _stop(self) -> None:
        drain = self._settings.drain_seconds
        self._lines.say(f"stopping: running steps get {drain:g} s (Ctrl-C again: at once)")
        self._supervisor.stop(drain)
        if embedded.wanted(self._settings):
            embedded.retract(self._settings)
        self._lines.say("stopped")


def _is_ready(settings: Settings) -> bool:
    host = settings.origin.removeprefix("http://").rsplit(":", 1)[0]
    connection = http.client.HTTPConnection(host, settings.port, timeout=2)
    try:
        connection.request("GET", "/api/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
