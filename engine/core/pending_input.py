"""What a waiting step run waits for, as its ``wait_for`` holds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Who or what ends the wait."""

    TIME = "time"
    SIGNAL = "signal"
    APPROVAL = "approval"
    CHILD = "workflow"  # an execution that the step started


@dataclass(frozen=True, slots=True)
class PendingInput:
    """An input that a step run waits for; ``name`` and ``correlation`` are a signal's."""

    kind: Kind
    name: str = ""
    correlation: str = ""

    @property
    def word(self) -> str | None:
        """What stands in ``wait_for``: None when only time ends the wait."""
        if self.kind is Kind.TIME:
            return None
        if self.kind is Kind.SIGNAL:
            return f"{self.kind}:{self.name}:{self.correlation}"
        return self.kind.value

    @classmethod
    def of(cls, word: str | None) -> PendingInput:
        """Return what ``word`` stands for."""
        if word is None:
            return cls(Kind.TIME)
        kind, _, rest = word.partition(":")
        name, _, correlation = rest.partition(":")
        return cls(Kind(kind), name, correlation)
