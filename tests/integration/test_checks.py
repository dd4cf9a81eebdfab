"""Large documents and inputs are checked in a process of their own, which has a deadline."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from engine.definition import check_elsewhere, check_input, parse
from engine.errors import InvalidDocument, InvalidInput, RateLimited, TooLarge
from engine_app.checks import OF_ONE_USER, SMALL, Checks

FILLER = "#" + " " * SMALL + "\n"
GOOD = "name: w\ninput: {type: object}\nsteps: {a: {uses: fail, with: {message: m}}}\n"
LONG_LIST = "name: w\nsteps:\n  a:\n    uses: transform\n    with:\n      value:\n" + (
    "      - a\n" * 200_000
)


def children() -> list[psutil.Process]:
    """Return the processes that check for this one."""
    mine = psutil.Process().children()
    return [one for one in mine if "engine_app.check_process" in " ".join(one.cmdline())]


def test_a_large_document_is_checked_as_a_small_one_is() -> None:
    large, small = Checks().document("ada", GOOD + FILLER), Checks().document("ada", GOOD)
    assert large == small
    assert (large.name, large.steps, large.input_schema) == ("w", ("a",), {"type": "object"})


def test_the_faults_of_a_large_document_are_told() -> None:
    with pytest.raises(InvalidDocument) as caught:
        Checks().document("ada", GOOD.replace("fail", "fial") + FILLER)
    assert caught.value.message == "workflow 'w' is not valid: one fault"
    assert [fault.path for fault in caught.value.faults] == ["steps.a.uses"]
    with pytest.raises(InvalidDocument, match="not YAML in line 3"):
        Checks().document("ada", GOOD.replace("steps: {", "steps: [") + FILLER)


def test_a_check_that_takes_too_long_is_ended_and_refused_by_the_limit() -> None:
    with pytest.raises(InvalidDocument, match=r"the document takes over 0\.01 s, the limit"):
        Checks(seconds=0.01).document("ada", LONG_LIST)
    assert children() == []


def test_a_check_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(TooLarge, match="more memory"):
        Checks(memory=30_000_000, seconds=20).document("ada", GOOD + "#" * 15_000_000)


def test_an_input_that_takes_more_than_a_moment_is_checked_elsewhere() -> None:
    schema = {"properties": {"a": {"items": {"type": "integer"}}, "b": {"default": 1}}}
    step = {"uses": "fail", "with": {"message": "m"}}
    definition = parse({"name": "w", "input": schema, "steps": {"a": step}})
    asked: list[tuple[str, int]] = []
    checks = Checks(seconds=20)

    def elsewhere(owner_id: str, schema: Any, value: Any) -> Any:
        asked.append((owner_id, len(value["a"])))
        return checks.input(owner_id, schema, value)

    check_elsewhere(elsewhere)
    try:
        small = check_input(definition, {"a": [1.0]}, owner_id="ada")
        large = check_input(definition, {"a": [1.0] * 50_000}, owner_id="ada")
        with pytest.raises(InvalidInput) as caught:
            check_input(definition, {"a": [*[1] * 50_000, "x"]}, owner_id="ada")
    finally:
        check_elsewhere(None)
    assert small == {"a": [1], "b": 1}
    assert large == {"a": [1] * 50_000, "b": 1}
    assert [fault.path for fault in caught.value.faults] == ["input.a[50000]"]
    assert asked == [("ada", 50_000), ("ada", 50_001)]


def test_one_user_with_many_checks_keeps_no_other_waiting() -> None:
    checks = Checks(seconds=20)
    begun = threading.Barrier(OF_ONE_USER + 3, timeout=30)

    def ask(owner_id: str) -> str:
        begun.wait()
        try:
            return checks.document(owner_id, GOOD + FILLER).name
        except RateLimited as refusal:
            return f"again in {refusal.retry_after} s"

    with ThreadPoolExecutor(OF_ONE_USER + 3) as pool:
        mine = [pool.submit(ask, "mallory") for _ in range(OF_ONE_USER + 2)]
        other = pool.submit(ask, "ada")
        assert other.result() == "w"
        told = [one.result() for one in mine]
    assert told.count("again in 2 s") == 2
    assert told.count("w") == OF_ONE_USER
