"""``engine …`` called in this process, and somebody who carries out what it starts."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from engine import settings
from engine_app.cli import main
from tests.support.house import House
from tests.support.processes import eventually


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Engine = Callable[..., Said]


@contextmanager
def calling(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: Mapping[str, str],
) -> Iterator[Engine]:
    """Yield what calls ``engine`` with these arguments; no call may show a traceback."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["engine", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Said(int(left.value.code or 0), said.out, said.err)

    yield call
    settings.current.cache_clear()


def work(house: House) -> threading.Thread:
    """Carry out the next execution that is started, as workers would."""

    def carry_out() -> None:
        pending = "SELECT id FROM executions WHERE status = 'pending'"
        eventually(lambda: house.query(pending), seconds=20, what="an execution is started")
        house.plan(house.query(pending)[0][0])
        house.drain()

    thread = threading.Thread(target=carry_out)
    thread.start()
    return thread
