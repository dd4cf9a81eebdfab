"""The command line, as people and scripts call it."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import click
import pytest

from engine import settings
from engine.errors import StepError
from engine.steps.context import context
from engine_app.auth import secrets
from engine_app.cli import people
from tests.support.command_line import Engine, work
from tests.support.house import House, python


def test_run_prints_the_id_alone_and_list_and_show_find_it(engine: Engine, house: House) -> None:
    house.publish("double", {"twice": {"uses": "transform", "with": {"value": "${{ input.n }}"}}})
    started = engine("run", "double", "--input", "n=2")
    assert started.code == 0
    execution_id = started.out.strip()
    (row,) = engine("list", "--json").json["items"]
    assert (row["id"], row["trigger"], row["status"]) == (execution_id, "cli", "pending")
    assert row["created_at"].endswith("Z")
    assert "waits for a worker" in engine("list").out
    assert engine("show", execution_id, "--json").json["input"] == {"n": 2}
    assert "twice" in engine("show", execution_id).out


def test_run_follows_to_the_output(engine: Engine, house: House) -> None:
    house.publish("double", {"twice": {"uses": "transform", "with": {"value": {"n": 4}}}})
    worker = work(house)
    said = engine("run", "double", "--follow")
    worker.join()
    assert said.code == 0
    assert "step_completed" in said.out
    assert '"n": 4' in said.out


def test_a_followed_execution_that_fails_exits_with_1_and_says_why(
    engine: Engine, house: House
) -> None:
    def refuse() -> None:
        raise StepError("amount must be \x1b[31mpositive", retryable=False)

    house.publish("refuse", {"check": python(refuse)})
    worker = work(house)
    said = engine("run", "refuse", "-f")
    worker.join()
    assert said.code == 1
    assert "amount must be" in said.out
    assert "\x1b" not in said.out
    worker = work(house)
    quiet = engine("run", "refuse", "-f", "--json")
    worker.join()
    assert quiet.code == 1
    assert quiet.json["row"]["status"] == "failed"


def test_logs_print_what_the_steps_wrote(engine: Engine, house: House) -> None:
    def talk() -> None:
        context.log.info("hello [bold]there[/bold]")

    house.publish("talk", {"say": python(talk)})
    worker = work(house)
    followed = engine("run", "talk", "-f", "--json")
    worker.join()
    execution_id = followed.json["row"]["id"]
    said = engine("logs", execution_id, "-f")
    assert "say  hello [bold]there[/bold]" in said.out
    (line,) = engine("logs", execution_id, "--json").out.splitlines()
    assert json.loads(line)["message"] == "hello [bold]there[/bold]"
    assert engine("logs", execution_id, "--level", "ERROR").out == ""


def test_logs_show_no_codes_and_the_end_of_a_progress_bar(engine: Engine, house: House) -> None:
    def load() -> None:
        context.log.info("\x1b[1;32mgreen\x1b[0m")
        context.log.info("".join(f"\r{percent}%|\x1b[K" for percent in range(0, 101, 5)))

    execution_id = house.run(house.publish("load", {"a": python(load)}))
    lines = engine("logs", execution_id).out.splitlines()
    assert [line.split("a  ")[1] for line in lines] == ["green", "100%|"]
    zoned = re.compile(r"\d{4}-\d\d-\d\d [\d:]{8} (UTC|[+-]\d\d:\d\d) ")
    assert all(zoned.match(line) for line in lines)


def test_the_schema_says_how_what_is_typed_is_read(
    engine: Engine, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    schema = {"type": "object", "properties": {"maybe": text, "n": {"type": "integer"}}}
    ask = {"uses": "approval", "with": {"title": "?", "form": schema}}
    house.publish("nested", {"a": ask}, input=schema)
    (tmp_path / "f.csv").write_bytes(b"3.10\r\n")
    given = ("-i", "maybe=3.10", "-i", "n=3")
    execution = engine("run", "nested", *given).out.strip()
    assert engine("show", execution, "--json").json["input"] == {"maybe": "3.10", "n": 3}
    house.plan(execution)
    house.drain()
    values = ("--value", "maybe=3.10", "--value", "n=3")
    assert engine("approve", execution, "a", *values).code == 0
    house.plan(execution)
    [(output,)] = house.query("SELECT output FROM step_runs")
    assert json.loads(output)["values"] == {"maybe": "3.10", "n": 3}
    monkeypatch.setattr(click, "edit", lambda text, **more: text.replace("null", '"4.20"'))
    rerun = ("rerun", execution, "--from", "a", "--yes", "--json")
    again = engine(*rerun, "-i", f"maybe=@{tmp_path / 'f.csv'}").json["execution_id"]
    assert engine("show", again, "--json").json["input"] == {"maybe": "3.10\r\n", "n": 3}
    again = engine(*rerun, "--edit", "-i", "maybe=null").json["execution_id"]
    assert engine("show", again, "--json").json["input"] == {"maybe": "4.20", "n": 3}
    schedule = engine("schedules", "create", "nested", "0 2 * * *", *given, "--zone", "Asia/Tokyo")
    assert schedule.code == 0
    assert house.query("SELECT input FROM schedules") == [('{"maybe":"3.10","n":3}',)]
    assert " 02:00:00 +09:00 " in engine("schedules", "list").out


@pytest.mark.parametrize(
    "arguments",
    [
        *(("run", "one", f"--delay={delay}") for delay in ("inf", "nan", "1e12", "31622401", "-1")),
        *(("run", "one", f"--version={number}") for number in ("0", "-1", str(2**63))),
        ("schedules", "create", "one", "@daily", f"--version={2**63}"),
        ("approve", "x", "one", f"--item={2**63}"),
        ("stranded", "list", "--workflow", "one", f"--version={2**63}"),
        *(("doctor", f"--hours={hours}") for hours in ("inf", "nan", "1e300")),
        *(("db", "prune", "--older-than", age) for age in ("99999999999999999999h", "1e400s")),
        ("rerun", "x", f"--version={2**63}"),
    ],
)
def test_a_number_beyond_what_can_be_kept_is_refused(
    arguments: tuple[str, ...], engine: Engine, house: House
) -> None:
    house.publish("one", {"a": {"uses": "transform", "with": {"value": 1}}})
    said = engine(*arguments)
    assert said.code == 2
    assert "a fault of the engine" not in said.err
    assert house.query("SELECT count(*) FROM executions") == [(0,)]


def test_the_longest_delay_is_that_of_the_api(engine: Engine, house: House) -> None:
    house.publish("one", {"a": {"uses": "transform", "with": {"value": 1}}})
    assert engine("run", "one", "--delay=31622400").code == 0
    said = engine("run", "one", "--delay=31622401")
    assert "the delay must be from 0 to 31,622,400 seconds (366 days)" in said.err


def test_cancel_then_retry(engine: Engine, house: House) -> None:
    house.publish("one", {"a": {"uses": "transform", "with": {"value": 1}}})
    execution_id = engine("run", "one").out.strip()
    assert engine("cancel", execution_id, "--note", "wrong").code == 0
    assert "cancelled: wrong" in engine("list").out
    again = engine("retry", execution_id, "--json")
    assert again.code == 0
    assert again.json["execution_id"] != execution_id
    assert engine("cancel", execution_id).code == 2


def test_people_see_their_own_only(engine: Engine, house: House) -> None:
    house.publish("one", {"a": {"uses": "transform", "with": {"value": 1}}})
    execution_id = engine("run", "one").out.strip()
    assert engine("user", "add", "eve").code == 0
    assert engine("list", "--as", "eve", "--json").json["items"] == []
    said = engine("show", execution_id, "--as", "eve")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: there is no execution")
    assert said.err.count("\n") == 1


def test_a_token_is_printed_alone_and_once(engine: Engine, house: House) -> None:
    said = engine("token", "create", "ci")
    assert said.out.startswith("ee_")
    assert said.out.count("\n") == 1
    secret = said.out.strip()
    listed = engine("token", "list", "--json")
    assert secret not in listed.out
    (row,) = listed.json["items"]
    assert engine("token", "revoke", row["id"]).code == 0
    assert "revoked" in engine("token", "list").out
    assert engine("token", "revoke", row["id"]).code == 2


@pytest.mark.parametrize(
    ("flags", "answer", "left", "said"),
    [
        (["--stdin"], None, 2, "ada has 2 API tokens that still work: --revoke-tokens ends them"),
        (["--stdin", "--keep-tokens"], None, 2, "ada has 2 API tokens that still work"),
        (["--stdin", "--revoke-tokens"], None, 0, "revoked 2 API tokens"),
        ([], True, 0, "revoked 2 API tokens"),
        ([], False, 2, "ada has 2 API tokens that still work"),
    ],
)
def test_whoever_changes_a_password_is_asked_about_tokens_and_told_what_became_of_them(
    engine: Engine,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    answer: bool | None,
    left: int,
    said: str,
) -> None:
    engine("user", "add", "ada")
    for name in ("ci", "cron"):
        engine("token", "create", name, "--as", "ada")
    engine("user", "link", "ada")
    asked: list[str] = []

    def ask(question: str) -> bool:
        asked.append(question)
        return bool(answer)

    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n"))
    if answer is not None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        monkeypatch.setattr(people, "_ask", lambda *, stdin: "correct horse")
        monkeypatch.setattr(people, "confirm", ask)
    told = engine("user", "password", "ada", *flags)
    assert told.code == 0
    assert "their sessions and sign-in links ended" in told.out
    assert said in told.out
    assert house.query("SELECT count(*) FROM tokens WHERE revoked_at IS NULL")[0][0] == left
    assert house.query("SELECT count(*) FROM login_links")[0][0] == 0
    assert asked == ([] if answer is None else ["ada has 2 API tokens. Revoke them too?"])


def test_users_are_added_linked_and_shut_out(
    engine: Engine, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine("user", "add", "ada").code == 0
    assert engine("user", "add", "ada").code == 2
    assert engine("user", "add", "<b>").code == 2
    link = engine("user", "link", "ada").out.strip()
    assert link.startswith("http://127.0.0.1:8000/api/login/link/")
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n"))
    assert engine("user", "password", "ada", "--stdin").code == 0
    stored = house.query("SELECT password_hash FROM users WHERE name = 'ada'")[0][0]
    assert secrets.password_fits(stored, "correct horse")
    assert engine("user", "disable", "ada").code == 0
    names = [row["name"] for row in engine("user", "list", "--json").json["items"]]
    assert names == ["ada", "owner"]


def test_workflows_are_validated_pushed_and_listed(
    engine: Engine, house: House, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.json"
    good.write_text("name: good\nsteps:\n  a: {uses: transform, with: {value: 1}}\n")
    bad.write_text(json.dumps({"name": "Bad!", "steps": {"a": {"uses": "nothing"}}}))
    assert "no fault" in engine("workflows", "validate", str(good)).out
    said = engine("workflows", "validate", str(bad))
    assert said.code == 2
    assert len(said.err.splitlines()) >= 3
    assert engine("workflows", "push", str(good)).out == "good v1 published\n"
    assert engine("workflows", "push", str(good)).out == "good v1 unchanged\n"
    assert "good" in engine("workflows", "list").out
    (broken := tmp_path / "broken.yaml").write_text("name: [1")
    words = " ".join(engine("workflows", "push", str(good), str(broken)).err.split())
    assert "broken.yaml: the document is not YAML in line" in words
    assert words.count("not YAML") == 1
    assert engine("workflows", "push", str(tmp_path / "none")).code == 2


def test_schedules_are_made_paused_and_deleted(engine: Engine, house: House) -> None:
    house.publish("one", {"a": {"uses": "transform", "with": {"value": 1}}})
    made = engine("schedules", "create", "one", "0 3 * * *", "--zone", "Europe/Berlin")
    schedule_id = made.out.strip()
    assert engine("schedules", "pause", schedule_id).code == 0
    assert "paused" in engine("schedules", "list").out
    assert engine("schedules", "resume", schedule_id).code == 0
    assert engine("schedules", "delete", schedule_id).code == 0
    assert engine("schedules", "list", "--json").json["items"] == []
    assert engine("schedules", "create", "one", "never").code == 2


def test_what_cannot_be_reached_exits_with_3(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    settings.current.cache_clear()
    said = engine("list")
    assert said.code == 3
    assert "engine db upgrade" in said.err
    assert engine("db", "upgrade").code == 0
    assert "already at" in engine("db", "upgrade").out
    assert "no user yet" in engine("list").err
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    settings.current.cache_clear()
    assert engine("list").code == 3


def test_check_names_every_fault_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENGINE_PORT", "0")
    monkeypatch.setenv("ENGINE_WORKER_THREADS", "many")
    said = engine("check")
    assert said.code == 2
    assert "ENGINE_PORT" in said.out
    assert "ENGINE_WORKER_THREADS" in said.out
    monkeypatch.delenv("ENGINE_PORT")
    monkeypatch.delenv("ENGINE_WORKER_THREADS")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    paths = {fault["path"] for fault in engine("check", "--json").json["items"]}
    assert {"DATABASE_URL", "REDIS_URL"} <= paths


def test_a_wrong_use_exits_with_2(engine: Engine, house: House) -> None:
    assert engine("list", "--limit", "x").code == 2
    assert engine("list", "--status", "gone").code == 2
    assert engine("nothing").code == 2
    said = engine("run", "one", "--input", "n")
    assert said.code == 2
    assert "KEY=VALUE" in said.err
    assert engine("token", "create", "x" * 65).code == 2
