"""Whatever leaves user code, of whatever type, is one attempt with its type and its trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.codec import decode
from engine.errors import Cut, Interrupted, StaleClaim, Unavailable
from engine.steps.context import context
from engine.store.db.database import Database
from tests.support.house import House, python


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


class Halt(BaseException):
    """No ``except Exception`` sees it."""


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text today")


class Textless(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307  # what is tested


def halt() -> None:
    raise Halt("stop")


def unreadable() -> None:
    raise Unreadable


def textless() -> None:
    raise Textless


def base_group() -> None:
    raise BaseExceptionGroup("several", [Halt("one"), ValueError("two")])


def cut() -> None:
    raise Cut


def interrupted() -> None:
    raise Interrupted("says the step itself")


def stale() -> None:
    raise StaleClaim("says the step itself")


def keyboard() -> None:
    raise KeyboardInterrupt


def odd_message() -> None:
    raise ValueError("half \ud800 and NUL \0")


@pytest.mark.parametrize(
    ("raises", "kind", "message"),
    [
        (halt, "Halt", "stop"),
        (unreadable, "Unreadable", "its message cannot be read: __str__ raised RuntimeError"),
        (textless, "Textless", "its message cannot be read: __str__ raised TypeError"),
        (
            base_group,
            "BaseExceptionGroup",
            "several (2 sub-exceptions): Halt: one; Val",
        ),
        (cut, "Cut", "no message"),
        (interrupted, "Interrupted", "says the step itself"),
        (stale, "StaleClaim", "says the step itself"),
        (keyboard, "KeyboardInterrupt", "no message"),
        (odd_message, "ValueError", "half ? and NUL \ufffd"),
    ],
)
def test_it_fails_the_attempt_once_with_its_type_and_where_it_was_raised(
    house: House, raises: Callable[[], None], kind: str, message: str
) -> None:
    run = house.run(house.publish("w", {"it": python(raises)}))
    assert house.status(run) == "failed"
    status, reason, attempts, crashes, error = house.step(
        run, 0, "status", "reason", "attempts", "crashes", "error"
    )
    assert (status, reason, attempts, crashes) == ("failed", "error", 1, 0)
    told = decode(error)
    assert told["type"] == kind
    assert told["message"].startswith(message)
    assert f"in {raises.__name__}" in told["trace"]
    assert house.executor._claims.all() == []


def away() -> None:
    if context.attempt == 1:
        raise Unavailable("the engine that the step asked does not answer")


def test_an_engine_that_a_step_asks_and_that_is_away_is_asked_again(house: House) -> None:
    step = {**python(away), "retry": {"attempts": 2, "backoff": "0s"}}
    run = house.run(house.publish("w", {"it": step}))
    house.deliver(house.ticket(run, 0))
    assert house.status(run) == "completed"


def odd_artifact() -> None:
    context.markdown("a\ud800b", "t")


def odd_text() -> None:
    context.markdown("notes", "half \ud800 of it")


@pytest.mark.parametrize("makes", [odd_artifact, odd_text])
def test_an_artifact_that_cannot_be_stored_is_refused_where_it_is_made(
    house: House, makes: Callable[[], None]
) -> None:
    run = house.run(house.publish("w", {"it": python(makes)}))
    told = decode(house.step(run, 0, "error")[0])
    assert house.step(run, 0, "attempts", "reason") == (1, "rejected_input")
    assert "half a character" in told["message"]
    assert f"in {makes.__name__}" in told["trace"]


def test_an_outcome_that_cannot_be_written_down_fails_its_attempt(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    monkeypatch.setattr("engine.worker.complete.artifacts.keep", refuses)
    run = house.run(house.publish("w", {"it": python(odd_but_kept)}))
    told = decode(house.step(run, 0, "error")[0])
    assert house.step(run, 0, "status", "attempts", "crashes") == ("failed", 1, 0)
    assert told["type"] == "UnicodeEncodeError"


def odd_but_kept() -> int:
    context.markdown("notes", "fine")
    return 1


def wrapping() -> None:
    try:
        int("order-7")
    except ValueError as error:
        raise RuntimeError("wrapped") from error


def test_the_log_and_expressions_tell_the_causes(house: House) -> None:
    steps = {
        "it": {**python(wrapping), "on_failure": "continue"},
        "why": {
            "uses": "transform",
            "with": {"value": "${{ steps.it.error.causes[0].message }}"},
        },
    }
    run = house.run(house.publish("w", steps))
    cause = "invalid literal for int() with base 10: 'order-7'"
    assert decode(house.step(run, 1, "output")[0]) == cause
    [(said,)] = house.query("SELECT message FROM logs WHERE execution_id = :id", id=run)
    assert said.splitlines()[1] == f"caused by ValueError: {cause}"
