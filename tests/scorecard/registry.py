"""The rows there are: each fault of the table, what it does, and where it cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.scorecard.drill import Drill

SQLITE, POSTGRES = "sqlite", "postgres"


@dataclass(frozen=True)
class Row:
    """A fault and the drill that shows what it costs.

    Attributes:
        name: what people type.
        group: who or what is at fault.
        fault: what happens, in the words of the table.
        recovery: what the recovery column measures.
        drill: carries it out; None when it cannot be had on any database.
        least: executions that must end as wanted for a run to count.
        variables: the workers' environment beside the default.
        redis: settings of the Valkey.
        max_crashes: the limit of crashes, where the row is about it.
        absent: why it does not apply, by database.
    """

    name: str
    group: str
    fault: str
    recovery: str
    drill: Callable[[Drill], None] | None
    least: int = 5
    variables: Mapping[str, str] = field(default_factory=dict)
    redis: Mapping[str, str] = field(default_factory=dict)
    max_crashes: int | None = None
    absent: Mapping[str, str] = field(default_factory=dict)


ROWS: dict[str, Row] = {}
# Every hop goes through Redis: what is lost there shows.
BY_MESSAGE = {"ENGINE_CONTINUATION_MS": "0"}


def row(
    group: str,
    fault: str,
    *,
    recovery: str = "",
    least: int = 5,
    variables: Mapping[str, str] | None = None,
    redis: Mapping[str, str] | None = None,
    max_crashes: int | None = None,
    absent: Mapping[str, str] | None = None,
) -> Callable[[Callable[[Drill], None]], Callable[[Drill], None]]:
    """Register a drill under its own name, with dashes; arguments are ``Row``'s."""

    def register(drill: Callable[[Drill], None]) -> Callable[[Drill], None]:
        name = drill.__name__.replace("_", "-")
        ROWS[name] = Row(
            name,
            group,
            fault,
            recovery,
            drill,
            least,
            variables or {},
            redis or {},
            max_crashes,
            absent or {},
        )
        return drill

    return register


def lacking(name: str, group: str, fault: str, why: str) -> None:
    """Register a fault that the product cannot meet yet, with the reason."""
    ROWS[name] = Row(name, group, fault, "", None, absent={SQLITE: why, POSTGRES: why})
