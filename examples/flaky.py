"""A step that fails, waits, and is tried again: watch the attempts and their logs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine import context, step, workflow


@step(attempts=5, backoff="1s", factor=2, max_backoff="5s", jitter=False, timeout="10s")
def call_unsteady_service(failures: int) -> dict[str, int]:
    """Return the number of the attempt that worked; the first ``failures`` do not."""
    print(f"attempt {context.attempt}: calling the service")
    if context.attempt <= failures:
        context.log.warning("the service does not answer")
        raise ConnectionError(f"no answer to attempt {context.attempt}")
    context.log.info("the service answered")
    return {"attempt": context.attempt}


@step
def confirm(answer: dict[str, int]) -> str:
    """Return a sentence about ``answer``."""
    return f"it worked at attempt {answer['attempt']}"


@workflow(title="Flaky service")
def flaky(
    failures: Annotated[
        int,
        Field(
            ge=0,
            le=5,
            title="Failures before it works",
            description="There are five attempts: with 5 the execution fails.",
        ),
    ] = 2,
) -> str:
    """Call a service that fails twice, then works. Retries wait 1 s, 2 s, 4 s."""
    return confirm(call_unsteady_service(failures))
