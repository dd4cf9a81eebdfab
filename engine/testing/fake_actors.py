"""Functions that answer for actors of the user's own, whose workers are not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine import registry
from engine.errors import UnknownStep
from engine.flow.outgoing import ActorCall, Sends
from engine.registry import Remote
from engine.testing.in_memory_engine import Bench
from engine.worker.claim_registry import Claims
from engine.worker.external_worker import ExternalWorker

WORKER = "actors"


class StandIns:
    """By name of the actor."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._functions: dict[str, Callable[..., Any]] = {}

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Let ``function`` answer for the actor ``name``."""
        self._functions[name] = function
        if not registry.has_function(f"{registry.ACTOR}{name}"):
            registry.register_actor(Remote(name, lambda _arguments, _options: None, lambda: True))

    def answer(self, call: ActorCall) -> Sends:
        """Claim the step run, call the function as a worker would the actor, and settle.

        Raises:
            UnknownStep: no function stands in for the actor.
        """
        if call.actor not in self._functions:
            raise UnknownStep(
                f"actor {call.actor} has no worker here",
                hint=f"give it a stand-in: harness.actor({call.actor!r}, function)",
            )
        guest = ExternalWorker(
            settings=self._bench.settings,
            database=self._bench.database,
            versions=self._bench.versions,
            worker_id=WORKER,
            claims=Claims(),
        )
        visit = guest.begin(call.ticket)
        if visit is None:
            return Sends()
        try:
            result, error = self._functions[call.actor](**call.arguments), None
        except Exception as raised:
            result, error = None, raised
        return guest.end(visit, result, error, released=False)
