"""Failpoints strike where and when they are told to, and are off otherwise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from engine import failpoints
from engine.errors import SettingsError, Unavailable


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Leave nothing armed behind."""
    yield
    failpoints.arm("")


def test_nothing_is_armed_by_itself() -> None:
    assert not failpoints.armed
    failpoints.reach("after_commit")


def test_a_point_strikes_once_at_its_pass() -> None:
    failpoints.arm("after_commit=raise@2, before_commit=sleep:0@1")
    failpoints.reach("before_commit")
    failpoints.reach("after_commit")
    with pytest.raises(Unavailable, match="after_commit"):
        failpoints.reach("after_commit")
    failpoints.reach("after_commit")


def test_a_point_strikes_as_often_as_it_is_told() -> None:
    failpoints.arm("after_commit=raise@2x2")
    struck = []
    for number in range(1, 9):
        try:
            failpoints.reach("after_commit")
        except Unavailable:
            struck.append(number)
    assert struck == [2, 4]


def test_kill_is_a_kill() -> None:
    code = (
        "from engine import failpoints as f; f.arm('after_effect=kill@1'); f.reach('after_effect')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9


@pytest.mark.parametrize(
    "text", ["after_lunch=kill@1", "after_commit=kill", "after_commit=nap@1", "after_commit=kill@0"]
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="names no failpoint"):
        failpoints.arm(text)
