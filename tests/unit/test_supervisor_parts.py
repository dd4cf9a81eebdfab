"""The parts of the supervisor that need no process to be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.settings import Settings
from engine_app import embedded
from engine_app.supervisor.console import LineBuffer, Lines
from engine_app.supervisor.programs import environment, programs
from engine_app.supervisor.welcome import welcome


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return Settings.model_construct(
        **{**Settings().model_dump(), "home": tmp_path, "worker_processes": 3, "port": 8123}
    )


def test_output_is_cut_into_lines_wherever_the_pipe_cut_it() -> None:
    said: list[str] = []
    buffer = LineBuffer(said.append)
    for piece in (b"on", b"e\ntwo\r\n", b"th", b"ree \xff"):
        buffer.feed(piece)
    assert said == ["one\ntwo"]
    buffer.flush()
    assert said == ["one\ntwo", "three \ufffd"]


def test_a_line_may_have_colours_but_no_other_power_over_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Lines().say("12%\r34%\r\x1b[31mred\x1b[0m \x1b[2Jgone \x07", name="web")
    assert capsys.readouterr().out == ("web        \x1b[31mred\x1b[0m gone \ufffd\n")


def test_each_worker_process_has_a_dramatiq_of_its_own(settings: Settings) -> None:
    workers = [program for program in programs(settings) if program.works]
    assert [program.name for program in workers] == [
        "worker 1",
        "worker 2",
        "worker 3",
        "long steps",
    ]
    for program in workers:
        line = " ".join(program.command)
        assert "dramatiq actors --processes 1" in line
        assert ("--queues steps.long" in line) == (program.name == "long steps")


def test_children_get_absolute_paths_and_no_redis_for_page_memory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REFLEX_REDIS_URL", "redis://elsewhere")
    given = environment(settings)
    assert "REFLEX_REDIS_URL" not in given
    assert given["ENGINE_HOME"] == str(tmp_path)
    assert given["REDIS_URL"] == f"unix://{tmp_path}/valkey.sock"
    assert given["ENGINE_PORT"] == "8123"


def test_the_welcome_shows_no_password(settings: Settings) -> None:
    servers = {
        "database_url": "postgresql+psycopg://me:canary-secret@db.example:5433/name",
        "redis_url": "redis://:canary-secret@cache.example:6380/1",
    }
    changed = settings.model_copy(update=servers)
    said = welcome(changed, "me", "http://127.0.0.1:8123/link", ["weather"])
    assert "canary-secret" not in said
    assert "PostgreSQL at db.example:5433/name" in said
    assert "cache.example:6380/1" in said


def test_the_embedded_server_is_found_by_whoever_shares_the_home(settings: Settings) -> None:
    embedded.announce(settings)
    assert settings.redis == embedded.url(settings)
    embedded.retract(settings)
    embedded.retract(settings)  # one that is gone already stays so
    assert not settings.redis_file.exists()
