"""The same hostile histories in memory and on a database: after each step both stand alike.

The model of ``tests/support/model`` says in the plainest way what the verbs and their SQL must
do. Here every delivery, death and word is given to both.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.core.status import ExecutionStatus
from tests.support.folding import fold
from tests.support.model.engine import Claim, Model, Outcome
from tests.support.model.shapes import Shape, shapes
from tests.support.model.store import EVENTS, FACTS, HEAD, ROWS, Puppet, Store
from tests.support.model.table import Guards, Message

ANY = st.integers(0, 1000)
OUTCOMES = st.sampled_from([Outcome.RETURNED, Outcome.RETURNED, Outcome.FAILED])
HARM = ["kill", "kill", "kill", "lose", "signal", "signal", "cancel", "pause", "forget"]
WORKERS = 3


class Compared(RuleBasedStateMachine):
    """One execution, twice."""

    guards = Guards()

    @initialize(shape=shapes())
    def begin(self, shape: Shape) -> None:
        self.model = Model(shape, guards=self.guards)
        self.store = Store(shape.definition, self.model.now)
        self.mail: list[tuple[Message, int]] = []
        self.dispatches = 0
        self.claims: list[tuple[Claim, Puppet]] = []
        self.workers = [f"w{number}" for number in range(WORKERS)]
        self.born = WORKERS
        self._collect()

    def _collect(self) -> None:
        """Both must owe the same messages."""
        model, store = self.model.drain_sends(), self.store.drain_sends()
        assert Counter(model.now) == Counter(store.now)
        assert Counter(model.later) == Counter(store.later)
        self.mail += [(message, 0) for message in model.now] + model.later
        self.dispatches += model.dispatch or store.dispatch

    @precondition(lambda self: self.dispatches)
    @rule()
    def dispatch(self) -> None:
        self.dispatches -= 1
        self.model.dispatch()
        self.store.dispatch()
        self._collect()

    @precondition(lambda self: self.mail)
    @rule(which=ANY, worker=ANY, keep=st.sampled_from([False, False, True]))
    def deliver(self, which: int, worker: int, keep: bool) -> None:
        at = which % len(self.mail)
        message = self.mail[at][0] if keep else self.mail.pop(at)[0]
        name = self.workers[worker % WORKERS]
        puppet = self.store.deliver(message, name)
        work = self.model.load(message)
        claim = None if work is None else self.model.go(work, name)
        if claim is not None and self.model.shape.kind(claim.work.key[0]) != "python":
            self.model.settle(claim, Outcome.RETURNED)  # a sleep, or a signal: no code to wait for
            claim = None
        assert (claim is None) == (puppet is None)
        if claim is not None and puppet is not None:
            self.claims.append((claim, puppet))
        self._collect()

    @precondition(lambda self: self.mail or self.dispatches)
    @rule(worker=ANY)
    def go_on(self, worker: int) -> None:
        """Deliver what has waited longest: without it few histories would come far."""
        if self.dispatches:
            self.dispatch()
        else:
            self.deliver(0, worker, keep=False)

    @precondition(lambda self: self.claims)
    @rule(which=ANY, outcome=OUTCOMES)
    def settle(self, which: int, outcome: Outcome) -> None:
        """A worker, perhaps a dead one's ghost, says what came of a claim."""
        claim, puppet = self.claims.pop(which % len(self.claims))
        self.model.settle(claim, outcome)
        self.store.settle(puppet, outcome)
        self._collect()

    @rule(seconds=st.integers(0, 70))
    def sweep(self, seconds: int) -> None:
        empty = not self.mail and not self.dispatches
        self.model.pass_time(seconds * 1_000_000)
        self.store.pass_time(seconds * 1_000_000)
        self.model.broker_is_empty = empty
        self.store.sweep(empty=empty, forgot=self.model.broker_forgot)
        self.model.sweep()
        self._collect()

    @rule(harm=st.sampled_from(HARM), which=ANY)
    def harm(self, harm: str, which: int) -> None:
        if harm == "kill":
            self._kill(which % WORKERS)
        elif harm == "lose":
            self.mail = self.mail[:-1]
        elif harm == "forget":
            self.mail, self.dispatches, self.model.broker_forgot = [], 0, True
        elif harm != "cancel" or which % 2:
            getattr(self.model, harm)()
            getattr(self.store, harm)()
        self._collect()

    def _kill(self, at: int) -> None:
        self.store.kill(self.workers[at])
        self.model.stopped.add(self.workers[at])
        self.workers[at] = f"w{self.born}"
        self.born += 1

    @precondition(lambda self: self.model.table.state.status is ExecutionStatus.PAUSED)
    @rule()
    def resume(self) -> None:
        self.model.resume()
        self.store.resume()
        self._collect()

    @invariant()
    def both_stand_alike(self) -> None:
        if not hasattr(self, "store"):
            return
        table = self.model.table
        rows = [
            (
                *key,
                row.status,
                row.epoch,
                row.attempts,
                row.crashes,
                row.reason,
                row.due_at,
                None if row.items is None else row.items_left,
            )
            for key, row in sorted(table.rows.items(), key=lambda entry: entry[0])
        ]
        stored = self.store.ask(ROWS)
        assert stored == rows, f"stored are {stored}, and not {rows}"
        head = table.state
        assert self.store.ask(HEAD) == [
            (
                head.status,
                head.ending,
                head.phase,
                head.active,
                head.steps_left,
                head.runs_done,
                head.runs_total,
                table.due_at,
                table.interrupting,
            )
        ]
        told = Counter((event.type.value, event.step, event.item) for event in table.events)
        assert Counter(self.store.ask(EVENTS)) == told

    @invariant()
    def the_events_fold_to_the_rows(self) -> None:
        if not hasattr(self, "store"):
            return
        _status, folded = fold(self.store.ask(FACTS))
        stored = {(step, item): status for step, item, status, *_ in self.store.ask(ROWS)}
        assert folded == {key: stored[key] for key in folded}

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        for _claim, puppet in self.claims:
            puppet.tell(Outcome.RETURNED)
        self.store.close()


def compare(machine: type[Compared], examples: int) -> None:
    """Run that many histories; other ones, and a hundred times as many, with
    ``pytest --hypothesis-profile=long``."""
    long = settings.get_current_profile_name() == "long"
    chosen = settings(
        max_examples=examples * (100 if long else 1),
        stateful_step_count=40,
        derandomize=not long,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=[Phase.generate],
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_model_and_store_stand_alike_after_every_step_of_hostile_histories() -> None:
    compare(Compared, 30)


def test_a_model_that_forgets_a_guard_differs_from_the_store() -> None:
    class Lax(Compared):
        guards = Guards(sweep=False)

    with pytest.raises(AssertionError):
        compare(Lax, 300)
