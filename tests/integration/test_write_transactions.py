"""While a write transaction is open nothing is evaluated, kept, read from a file, or made JSON.

Every other writer of SQLite waits for it, and on PostgreSQL whoever wants the same rows.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from engine import codec, context
from engine.errors import InvalidInput
from engine.expressions import Template, compile
from engine.io.payloads import Payloads
from engine.settings import Settings
from engine.store.db.database import Connection, Database
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import child, decide, pause, resume, signal, sweep, transform, waits
from tests.support.transitions import boom, claimed

BIG = 300_000  # characters: over the inline limit
# Facts, what a step died of, and what a worker says of itself: some words each. Most are known only
# under the lock that orders them. Values of users are never among them.
SMALL = {
    "engine.store.recovery.liveness.beat",
    "engine.store.recovery.liveness.register",
    "engine.store.writes.execution_tx._told",
    "engine.store.writes.outbox.answer",
    "engine.store.writes.dead_letters.keep_poison",
    "engine.core.propagate._fail_execution",
    "engine.core.propagate._end_fan_out",
    "engine.core.propagate._note_failed_closing",
    "engine.flow.expiry.expire",
    "engine.core.lifecycle.time_out",
    "engine.core.failures.crashed",
}
SMALL_LENGTH = 2_000  # characters


class Watch:
    """What was done while the calling thread had a write transaction open."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.encoded: Counter[str] = Counter()
        self.writes = 0
        self._here = threading.local()
        self.armed = True

    @property
    def writing(self) -> bool:
        return self.armed and getattr(self._here, "depth", 0) > 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._here.depth = getattr(self._here, "depth", 0) + 1
        self.writes += 1
        try:
            yield
        finally:
            self._here.depth -= 1

    def note(self, what: str) -> None:
        if self.writing:
            self.done.append(f"{what} by {_caller()}")

    def encode(self, text: bytes) -> None:
        if not self.writing:
            return
        caller = _caller()
        self.encoded[caller] += 1
        if caller not in SMALL or len(text) > SMALL_LENGTH:
            self.done.append(f"{len(text)} bytes of JSON were made by {caller}")


def _caller() -> str:
    """Return the function of the engine that did it, beside those that all go through."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        function = frame.f_code.co_name
        inside = name in ("engine.codec", "engine.io.payloads") or function.startswith("<")
        if name.startswith("engine.") and not inside:
            return f"{name}.{function}"
        frame = frame.f_back
    return "a test"


class _Encoder:
    def __init__(self, watch: Watch) -> None:
        self._real, self._watch = codec._encoder, watch

    def encode(self, value: Any) -> bytes:
        text = self._real.encode(value)
        self._watch.encode(text)
        return text


class _Decoder:
    def __init__(self, watch: Watch) -> None:
        self._real, self._watch = codec._decoder, watch

    def decode(self, text: str) -> Any:
        self._watch.note("JSON was read")
        return self._real.decode(text)


_watches: list[Watch] = []


def _audit(name: str, arguments: tuple[Any, ...]) -> None:
    # A module that is imported late is no file of anybody's work.
    if name == "open" and _watches and not str(arguments[0]).endswith((".py", ".pyc")):
        _watches[-1].note(f"{arguments[0]} was opened")


sys.addaudithook(_audit)  # for good: it does nothing while nobody watches


@pytest.fixture
def watch(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watch every write transaction of the database."""
    watch = Watch()
    write = database.write

    def armed(work: Callable[[Connection], Any]) -> Any:
        def watched(connection: Connection) -> Any:
            with watch.transaction():
                return work(connection)

        return write(watched)

    monkeypatch.setattr(database, "write", armed)
    monkeypatch.setattr(codec, "_encoder", _Encoder(watch))
    monkeypatch.setattr(codec, "_decoder", _Decoder(watch))
    for owner, name in ((Template, "evaluate"), (Payloads, "keep"), (Payloads, "read_bytes")):
        _noted(monkeypatch, watch, owner, name)
    _watches.append(watch)
    yield watch
    _watches.remove(watch)


def _noted(monkeypatch: pytest.MonkeyPatch, watch: Watch, owner: type, name: str) -> None:
    real = getattr(owner, name)

    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        watch.note(f"{owner.__name__}.{name}")
        return real(self, *arguments, **named)

    monkeypatch.setattr(owner, name, noted)


def big() -> str:
    return "a" * BIG


def length(value: str) -> int:
    return len(value)


def makes() -> int:
    context.progress(1, 2, note="half")
    context.markdown("note", "# made")
    context.artifact("large.txt", b"b" * BIG)
    context.log.info("made")
    return 1


def _flows(house: House) -> None:
    """Values, large ones too, through expressions, fan-outs and their joins."""
    each = {**python(length, value="${{ item }}"), "for_each": "${{ steps.list.output }}"}
    steps = {
        "load": python(big),
        "count": {**python(length, value="${{ steps.load.output }}"), "when": "${{ input.on }}"},
        "list": transform(["a", "${{ steps.load.output }}", "ccc"]),
        "each": {**each, "max_parallel": 2},
        "all": transform("${{ steps.each.output }}"),
        "off": transform(1, when="${{ !input.on }}"),
        "makes": python(makes),
    }
    run = house.run(house.publish("flows", steps), {"on": True})
    assert house.status(run) == "completed", house.execution(run, "error")
    again = house.retry(run, from_step="all")
    house.plan(again)
    house.drain()
    assert house.output(again)


def _failures(house: House) -> None:
    """Every policy of a failure, compensations, and an end that fails itself."""
    tried = {**python(boom), "retry": {"attempts": 2, "backoff": "0s"}}
    steps = {
        "held": transform(1, compensate="undo"),
        "undo": transform("${{ steps.held.output }}"),
        "tolerated": {**tried, "on_failure": "continue"},
        "handled": {**python(boom), "on_failure": {"run": "mend"}},
        "mend": transform("${{ steps.handled.error.message }}"),
        "some": {**python(boom), "for_each": [1, 2], "on_failure": "continue"},
        "ends": {**python(boom), "for_each": [1], "needs": ["mend", "tolerated", "some", "held"]},
        "tidy": python(boom),
    }
    run = house.run(house.publish("failures", steps, **{"finally": ["tidy"]}))
    for _ in range(3):
        house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'retrying'")
        sweep(house)
    assert house.status(run) == "failed"
    run = house.run(
        house.publish("tidy", {"a": transform(1), "b": python(boom)}, **{"finally": ["b"]})
    )
    assert house.status(run) == "failed"


def _answers(house: House) -> None:
    """Signals early, late and unfit, approvals with a large form, children."""
    schema = {"type": "object", "required": ["n"]}
    places = {"enum": [f"place {number}" for number in range(20_000)]}
    form = {"type": "object", "properties": {"place": places}}
    house.publish("inner", {"a": transform("${{ input.n }}")})
    steps = {
        "early": waits("early"),
        "late": waits("late", schema=schema),
        "ask": {"uses": "approval", "with": {"title": "Where?", "form": form}},
        "call": child("inner", input={"n": "${{ input.n }}"}),
    }
    signal(house, "early", body="e" * BIG)
    run = house.run(house.publish("answers", steps), {"n": 1})
    with pytest.raises(InvalidInput):
        signal(house, "late", body={})
    signal(house, "late", body={"n": 1}, idempotency_key="k")
    decide(house, run, "ask", place="place 7")
    house.drain()
    assert house.status(run) == "completed"


def _ends(house: House) -> None:
    """Pauses, cancels, deadlines, deaths, and steps that nobody takes in time."""
    steps = {"a": waits("never"), "b": transform(1, needs=["a"])}
    paused = house.run(house.publish("paused", steps))
    pause(house, paused)
    resume(house, paused)
    house.cancel(paused, note="enough")
    late = house.run(house.publish("late", steps, timeout="1h"))
    house.write("UPDATE executions SET deadline_at = 1 WHERE deadline_at IS NOT NULL")
    expiring = house.start(house.publish("expiring", {"a": transform(1, expires="1s")}))
    house.plan(expiring)
    house.inbox.clear()
    house.write("UPDATE step_runs SET queued_at = 1 WHERE expires_in IS NOT NULL")
    dead, _key = claimed(house, worker="gone")
    for _ in range(4):
        sweep(house)
    ends = [house.execution(one, "status", "reason") for one in (paused, late, expiring, dead)]
    assert ends[:2] == [("cancelled", "cancelled_by_user"), ("failed", "timeout")]
    assert ends[2:] == [("failed", "step_failed")] * 2
    assert house.query("SELECT count(*) FROM dead_letters") == [(1,)]


@pytest.mark.parametrize("work", [_flows, _failures, _answers, _ends])
def test_a_write_transaction_holds_nothing_but_sql(
    database: Database, watch: Watch, work: Callable[[House], None]
) -> None:
    settings = Settings(continuation_ms=0, cancel_interrupt_seconds=0, max_crashes=1)
    house = House(database, settings)
    work(house)
    watch.armed = False
    assert watch.writes > 10
    assert watch.encoded["engine.store.writes.execution_tx._told"], (
        "the watch sees what is made JSON"
    )
    assert not watch.done, "\n".join(sorted(set(watch.done)))
    check(database, all_ended=False, max_crashes=1)


@pytest.mark.parametrize(
    "sin",
    [
        lambda: compile("${{ 1 + 1 }}", "it").evaluate({}),
        lambda: codec.encode([1]),
        lambda: codec.decode("[1]"),
        lambda: Payloads(None).keep("1", "a/b", "it"),
        lambda: open("/dev/null").close(),
    ],
)
def test_what_does_not_belong_into_a_transaction_is_seen(
    database: Database, watch: Watch, sin: Callable[[], Any]
) -> None:
    sin()
    assert watch.done == []
    database.write(lambda _connection: sin())
    assert len(watch.done) == 1
