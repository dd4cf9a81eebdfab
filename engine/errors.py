"""Every error the engine raises on purpose, as one small tree.

Each class is named by its cause and has a stable ``code`` that clients may branch on. A message
says what is wrong, where and why, ``hint`` what to do, ``faults`` each place in what was sent. The
API gives each class an HTTP status (``engine_app.api.problems``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document, an input or a setting.

    ``path`` leads to it (``steps.clean.for_each``), ``problem`` says what is wrong and why,
    ``hint`` says what to do about it.
    """

    path: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.problem}" + (f" ({self.hint})" if self.hint else "")


class EngineError(Exception):
    """The root of the tree: catch it to catch every refusal of the engine."""

    code = "engine_error"

    def __init__(self, message: str, *, hint: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.faults = tuple(faults)

    def __str__(self) -> str:
        lines = [self.message + (f" ({self.hint})" if self.hint else "")]
        lines += [f"  {fault}" for fault in self.faults]
        return "\n".join(lines)


class SettingsError(EngineError):
    """The settings cannot work together; ``faults`` names every one."""

    code = "invalid_settings"


class SchemaTooNew(EngineError):
    """The database was upgraded by a newer release than this one."""

    code = "schema_too_new"


class Unsupported(EngineError):
    """This Python lacks what is needed."""

    code = "unsupported"


class StartFailed(EngineError):
    """A process of the engine ended, or did not answer, while the engine was starting."""

    code = "start_failed"


class InvalidError(EngineError):
    """What was sent can never be accepted as it is; its subclasses say what it was."""

    code = "invalid"


class InvalidDocument(InvalidError):
    """A workflow document with faults, all of them named."""

    code = "invalid_document"


class UnreadableVersion(EngineError):
    """A version whose document this release cannot read: others are not touched by it."""

    code = "unreadable_version"


class InvalidInput(InvalidError):
    """An input that the workflow's schema refuses."""

    code = "invalid_input"


class InvalidQuery(InvalidError):
    """A filter, cursor or parameter that means nothing."""

    code = "invalid_query"


class InvalidUser(InvalidError):
    """A name or password that no user can have."""

    code = "invalid_user"


class InvalidRequest(InvalidError):
    """A request of a form that its address does not take."""

    code = "invalid_request"


class UnsupportedMediaType(InvalidError):
    """A body that is not called by the name of what the address takes."""

    code = "unsupported_media_type"


class ExpressionError(InvalidError):
    """An expression that does not parse, or that failed on the data it met."""

    code = "expression_error"


class PayloadError(InvalidError):
    """A value that JSON cannot carry on both databases.

    ``path`` leads to it, ``problem`` says what is wrong there; the message says both.
    """

    code = "invalid_payload"

    def __init__(self, message: str, *, hint: str = "", path: str = "", problem: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.problem = problem or message


class TooLarge(InvalidError):
    """A payload over its limit."""

    code = "too_large"


class NotFound(EngineError):
    """No such object, or it belongs to someone else: the two are never told apart."""

    code = "not_found"


class Conflict(EngineError):
    """The object is not in a status that allows this."""

    code = "conflict"


class Unauthenticated(EngineError):
    """No valid session or token came with the request."""

    code = "unauthenticated"


class Forbidden(EngineError):
    """Signed in, but not allowed to do this."""

    code = "forbidden"


class RateLimited(EngineError):
    """Too many attempts; ``retry_after`` says in seconds when the next one is heard."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unavailable(EngineError):
    """The database or Redis does not answer; the same call may work in ``retry_after`` seconds."""

    code = "unavailable"
    retry_after = 2


class StepError(EngineError):
    """An attempt failed for a reason the engine knows.

    ``reason`` becomes the reason code beside the status; ``retryable`` tells whether another
    attempt could end differently.
    """

    code = "step_error"

    def __init__(
        self, message: str, *, reason: str = "error", retryable: bool = True, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.retryable = retryable


class PayloadLost(StepError):
    """A large value that the store has no more, or not as it was written."""

    code = "payload_lost"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, reason="payload_lost", retryable=False, hint=hint)


class TimedOut(StepError):
    """User code ran longer than its timeout."""

    code = "timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"ran longer than its timeout of {seconds:g} s",
            reason="timeout",
            hint="give the step a longer timeout, or less to do",
        )


class EventLoopBlocked(StepError):
    """A coroutine kept the event loop to itself for so long that it counts as lost."""

    code = "event_loop_blocked"


class OutboundRefused(StepError):
    """A request must not be sent; another attempt would be refused as well."""

    code = "outbound_refused"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, reason="rejected_input", retryable=False, hint=hint)


class NoAttempt(EngineError):
    """The context of an attempt was asked for where none is made."""

    code = "no_attempt"


class Interrupted(EngineError):
    """The attempt is no longer wanted: its claim was taken away or its execution cancelled."""

    code = "interrupted"


class NoEvidence(EngineError):
    """The broker does not tell what it holds: nothing counts as lost until it does."""

    code = "no_evidence"


class UnknownStep(EngineError):
    """This worker has no code for the step; another one may."""

    code = "unknown_step"


class StaleClaim(EngineError):
    """The claim was taken away (epoch raised): the result of this attempt changes nothing."""

    code = "stale_claim"


class Cut(BaseException):
    """Raised inside user code to end it; no ``except Exception`` holds it up."""
