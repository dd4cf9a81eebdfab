"""Steering executions from a terminal: pause, run again, signals, decisions, pruning."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from rich.prompt import Confirm

from engine.ids import first_id
from engine.io.payloads import Payloads
from engine.store.db.database import Database
from tests.support import rows
from tests.support.command_line import Engine, work
from tests.support.house import House

VALUE = {"uses": "transform", "with": {"value": "${{ input }}"}}
BROKEN = {"uses": "transform", "with": {"value": "${{ 1 / input.n }}"}}
ASK: dict[str, Any] = {"uses": "approval", "with": {"title": "Pay [7]?", "approvers": ["bob"]}}
WAIT = {"uses": "signal", "with": {"name": "paid", "correlation": "o 7"}}


def test_a_paused_execution_says_so_until_it_is_resumed(engine: Engine, house: House) -> None:
    house.publish("one", {"a": VALUE})
    execution = engine("run", "one").out.strip()
    assert engine("pause", execution, "--note", "lunch").out == f"{execution} is paused\n"
    assert engine("pause", execution).code == 2
    assert f"engine resume {execution}" in engine("show", execution).out
    assert engine("resume", execution, "--json").json["status"] == "pending"
    assert engine("cancel", execution, "--json").json["stages"]["interrupt_at"] is None


def test_a_rerun_tells_and_asks_before_it_starts(
    engine: Engine, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.publish("two", {"a": VALUE, "b": {**BROKEN, "needs": ["a"]}, "c": VALUE})
    execution = house.run(house.publish("two", {"a": VALUE, "b": BROKEN}), {"n": 0, "m": 1})
    wanted = ("rerun", execution, "--from", "b", "--version", "newest", "-i", "n=2")
    said = engine(*wanted)
    assert said.code == 2
    assert "say --yes" in said.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(Confirm, "ask", lambda *args, **kwargs: False)
    said = engine(*wanted)
    assert (said.code, said.out) == (2, "")
    assert "taken over, not run: a\n" in said.err
    told = engine(*wanted, "--dry-run", "--json").json
    assert (told["reused"], told["fresh"], told["version"]) == (["a"], ["b"], 2)
    assert len(engine("list", "--json").json["items"]) == 1
    monkeypatch.setattr(Confirm, "ask", lambda *args, **kwargs: True)
    again = engine(*wanted).out.strip()
    shown = engine("show", again, "--json").json
    assert shown["input"] == {"n": 2, "m": 1}
    assert shown["origin"]["id"] == execution
    assert f"made from {execution} two v2 at b" in engine("show", again).out
    assert f"run again as {again}" in engine("show", execution).out
    assert engine("rerun", execution, "--version", "old", "--yes").code == 2


def test_an_input_is_edited_before_it_runs_again(
    engine: Engine, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = house.run(house.publish("one", {"a": BROKEN}), {"n": 0})
    wanted = ("rerun", execution, "--edit", "--yes", "--json")
    monkeypatch.setattr(click, "edit", lambda text, **more: text.replace("0", "4"))
    again = engine(*wanted).json["execution_id"]
    assert engine("show", again, "--json").json["input"] == {"n": 4}
    monkeypatch.setattr(click, "edit", lambda text, **more: text.replace("0", "four"))
    said = engine(*wanted)
    assert said.code == 2
    assert "line 2, column 8: a value was expected, found 'f'" in said.err
    monkeypatch.setattr(click, "edit", lambda text, **more: None)
    assert "not saved" in engine(*wanted).err


def test_a_followed_execution_says_what_it_waits_for_and_ends_by_a_signal(
    engine: Engine, house: House
) -> None:
    house.publish("pay", {"wait": WAIT})
    early = engine("signal", "paid", "--correlation", "other", "--body", '{"sum": 3}')
    assert early.out == "kept: no step waits for it yet\n"
    execution = house.start(house.publish("pay", {"wait": WAIT}))
    house.plan(execution)
    house.drain()
    shown = engine("show", execution).out
    assert "waits for signal paid of o 7" in shown
    assert "engine signal paid --correlation 'o 7'" in shown
    wanted = ("signal", "paid", "--execution", execution, "--body", '{"sum": 3}')
    assert engine(*wanted).out == f"taken by {execution}\n"
    assert engine("signal", "paid", "--body", "{").code == 2
    house.plan(execution)
    assert engine("show", execution, "--json").json["output"] == {"sum": 3}


def test_a_signal_with_a_key_may_be_sent_again(engine: Engine, house: House) -> None:
    wanted = ("signal", "paid", "--key", "k", "--json", "--body")
    sent = engine(*wanted, "1").json
    assert engine(*wanted, "1").json == sent
    said = engine(*wanted, "2")
    assert said.code == 2
    assert "'k' was used for another request" in said.err
    assert len(house.query("SELECT id FROM signals")) == 1


def test_ctrl_c_ends_the_looking_and_not_the_execution(
    engine: Engine, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.publish("pay", {"ask": ASK})
    looks: list[float] = []

    def interrupt(seconds: float) -> None:
        time.sleep(seconds / 10)
        if house.query("SELECT id FROM executions WHERE status = 'waiting'"):
            looks.append(seconds)
        if len(looks) == 2:  # what it waits for was told between the two
            raise KeyboardInterrupt

    monkeypatch.setattr("engine_app.cli.follow.time", SimpleNamespace(sleep=interrupt))
    worker = work(house)
    said = engine("run", "pay", "--follow")
    worker.join()
    execution = house.query("SELECT id FROM executions")[0][0]
    assert said.code == 1
    assert "… ask · waits for a decision" in said.out
    assert f"engine approve {execution} ask" in said.out
    assert f"{execution} goes on" in said.err
    assert engine("list", "--json").json["items"][0]["status"] == "waiting"


def test_those_who_are_named_decide_and_nobody_else(engine: Engine, house: House) -> None:
    workflow = house.publish("pay", {"ask": ASK})
    execution = house.run(workflow)
    assert engine("user", "add", "bob").code == 0
    assert engine("approvals", "--json").json["items"] == []
    assert "Pay [7]?" in engine("approvals", "--as", "bob").out
    assert "waits for bob to decide: Pay [7]?" in engine("show", execution).out
    assert engine("approve", execution, "ask").code == 2
    assert engine("approve", execution, "ask", "--item", "0", "--as", "bob").code == 2
    said = engine("approve", execution, "ask", "--as", "bob", "--comment", "fine")
    assert said.out == "ask is approved\n"
    assert engine("approve", execution, "ask", "--as", "bob").code == 2
    other = house.run(workflow)
    told = engine("reject", other, "ask", "--as", "bob", "--comment", "no", "--json").json
    assert told == {"execution_id": other, "approved": False}
    assert "rejected by bob: no" in engine("show", other).out


def test_one_approval_is_shown_with_its_form_whatever_its_size(
    engine: Engine, sqlite_url: str, tmp_path: Path
) -> None:
    places = [f"place {number}" for number in range(30_000)]
    form = {"type": "object", "properties": {"place": {"enum": places}}}
    asked = {"title": "Pay [7]?", "description": "Choose [well].", "form": form}
    payloads = Payloads(str(tmp_path / "payloads"), inline=256 * 1024)
    with closing(Database.open(sqlite_url, payloads=payloads)) as database:
        house = House(database)
        execution = house.run(house.publish("pay", {"ask": {"uses": "approval", "with": asked}}))
    (row,) = engine("approvals", "--json").json["items"]
    assert (row["title"], row["form"]) == ("Pay [7]?", {})
    assert row["left_out"] > 256 * 1024
    assert engine("approvals", execution, "ask", "--json").json["form"] == form
    said = engine("approvals", execution, "ask").out
    assert said.startswith("Pay [7]?\npay of owner, decided by its owner\nChoose [well].\n")
    assert '"place 29999"' in said
    assert engine("approvals", execution).code == 2
    assert engine("approvals", execution, "other").code == 2


def test_pruning_counts_first_and_deletes_what_is_old(engine: Engine, house: House) -> None:
    workflow = house.publish("one", {"a": VALUE})
    fresh, long_ago = house.run(workflow), house.database.now() - 40 * 86_400_000_000
    ended: dict[str, Any] = {"status": "completed", "finished_at": long_ago}
    rows.execution(house.database, house.owner_id, workflow, id=first_id(long_ago), **ended)
    wanted = ("db", "prune", "--older-than", "30d")
    assert engine(*wanted, "--dry-run", "--json").json["executions"] == 1
    assert engine(*wanted).out.startswith("deleted: 1 executions, 0 signals")
    assert [row["id"] for row in engine("list", "--json").json["items"]] == [fresh]
    assert engine("db", "prune", "--older-than", "soon").code == 2
    assert engine("db", "prune", "--older-than", "5m").code == 2
