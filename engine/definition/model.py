"""A workflow as the engine sees it: steps by position, with their edges and policies."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.definition.json_schema import Tree
from engine.expressions import Template

SHORT_QUEUE, LONG_QUEUE = "steps", "steps.long"
ACTOR_QUEUE = "actor"  # not one of ours: the user's worker takes it from a queue of its own
LONG_SECONDS = 60.0  # a step that may take longer must not hold the short ones up
DEFAULT_PARALLEL = 256


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When another attempt follows a failed one. Times in seconds."""

    attempts: int = 1
    backoff: float = 1.0
    factor: float = 2.0
    max: float = 60.0
    jitter: bool = True
    on: frozenset[str] = frozenset({"error", "timeout"})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many items of a fan-out may fail before it fails itself."""

    count: int = 0
    percent: float = 0.0

    def allows(self, failed: int, items: int) -> bool:
        """Return whether ``failed`` of ``items`` is not too many."""
        return failed <= self.count or failed * 100 <= self.percent * items


@dataclass(frozen=True, slots=True)
class Cache:
    """When an earlier output is taken instead of an attempt; ``ttl`` in seconds."""

    key: Template
    ttl: float


class OnFailure(StrEnum):
    """What the failure of a step does to its execution."""

    FAIL = "fail"
    CONTINUE = "continue"  # its dependants run, its output is null
    RUN = "run"  # its handler runs, its dependants are skipped


@dataclass(frozen=True, slots=True)
class Step:
    """One node. ``index`` is its place in the document; edges are indexes too."""

    index: int
    name: str
    uses: str
    params: Template
    # The code that a worker may have or not: a function, actor:NAME of an actor, or type:NAME of
    # a step type that is installed beside the built-in ones.
    function: str | None = None
    needs: tuple[int, ...] = ()
    dependants: tuple[int, ...] = ()
    when: Template | None = None
    for_each: Template | None = None
    max_parallel: int = DEFAULT_PARALLEL
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = None
    queue: str = SHORT_QUEUE
    expires: float | None = None  # seconds that it may be queued
    process: bool = False  # it runs in a process of its own, of at most ``memory`` bytes
    memory: int | None = None
    cache: Cache | None = None
    on_failure: OnFailure = OnFailure.FAIL
    handles: tuple[int, ...] = ()  # the steps whose failure it is there for
    handlers: tuple[int, ...] = ()  # the steps that are there for its failure
    tolerance: Tolerance = Tolerance()
    closing: bool = False  # runs once all the others are over
    compensates: int | None = None  # the step whose work it undoes
    keys: frozenset[str] = frozenset()  # that the document says something about


@dataclass(frozen=True, slots=True)
class Definition:
    """A valid workflow. Two are equal when their documents are."""

    name: str
    title: str = field(compare=False)
    description: str = field(compare=False)
    input_schema: dict[str, Any] = field(compare=False)
    steps: tuple[Step, ...] = field(compare=False, repr=False)
    output: Template | None = field(compare=False, repr=False)
    document: dict[str, Any] = field(repr=False)
    timeout: float | None = field(default=None, compare=False)  # seconds, of an execution
    input_tree: Tree = field(init=False, compare=False, repr=False)  # of the schema
    # The steps that run once all the others are over: compensations and finally steps.
    closing: tuple[Step, ...] = field(init=False, compare=False, repr=False)
    # Whether a step of it starts executions of other workflows.
    has_children: bool = field(init=False, compare=False)
    _by_name: dict[str, Step] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Asked at each step: looking through 20,000 of them then would be O(n²).
        object.__setattr__(self, "input_tree", Tree(self.input_schema))
        object.__setattr__(self, "_by_name", {step.name: step for step in self.steps})
        object.__setattr__(self, "closing", tuple(step for step in self.steps if step.closing))
        object.__setattr__(
            self, "has_children", any(step.uses == "workflow" for step in self.steps)
        )

    def step(self, name: str) -> Step:
        """Return the step called ``name``.

        Raises:
            KeyError: there is none.
        """
        return self._by_name[name]

    @property
    def sinks(self) -> tuple[Step, ...]:
        """The steps whose output is the execution's when it names none."""
        return tuple(
            step
            for step in self.steps
            if not (step.closing or step.handles)
            and all(self.steps[index].handles for index in step.dependants)
        )
