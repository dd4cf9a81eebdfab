"""``KEY=VALUE``, ``KEY=@FILE``, ``@FILE`` and JSON: what each stands for, and what is refused."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.definition import read_typed
from engine.errors import InvalidError, InvalidInput
from engine_app.cli.inputs import parse_input
from engine_app.cli.local import read_text

CSV = "name,size\r\nBjörn,3\r\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.csv").write_bytes(CSV.encode())
    (tmp_path / "rows.json").write_text('[{"a": 1}]\n')
    (tmp_path / "all.json").write_text('{"data": "x", "n": 2}')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    (tmp_path / "big.txt").write_bytes(b"x" * 1_000_001)
    return tmp_path


def schema(**properties: str) -> dict[str, object]:
    return {"properties": {name: {"type": kind} for name, kind in properties.items()}}


def test_a_file_after_a_key_is_the_value_of_the_key() -> None:
    given = parse_input(["data=@f.csv", "rows=@rows.json", "n=1", "note=me@example.org"])
    found = read_typed(schema(data="string", rows="array", n="integer", note="string"), given)
    assert found == {"data": CSV, "rows": [{"a": 1}], "n": 1, "note": "me@example.org"}


def test_a_file_of_json_is_a_text_where_a_text_is_wanted() -> None:
    given = parse_input(["data=@rows.json"])
    assert read_typed(schema(data="string"), given) == {"data": '[{"a": 1}]\n'}


def test_a_file_alone_is_the_whole_input_and_later_parts_lie_on_top() -> None:
    assert parse_input(["@all.json", '{"n": 3}']) == {"data": "x", "n": 3}


def test_a_text_that_begins_with_at_stands_in_quotes() -> None:
    assert read_typed(schema(to="string"), parse_input(['to="@ada"'])) == {"to": "@ada"}


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(CSV.encode())))
    assert read_typed(schema(data="string"), parse_input(["data=@-"])) == {"data": CSV}


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("data=@none.csv", "none.csv cannot be read: No such file or directory"),
        ("data=@.", ". cannot be read: Is a directory"),
        ("data=@", " cannot be read: No such file or directory"),
        ("data=@a\0b", "is no name of a file"),
        ("data=@picture.png", "picture.png is not UTF-8 at byte 0"),
        ("data=@big.txt", "big.txt has more than 1,000,000 bytes"),
        ("@none.json", "none.json cannot be read"),
        ("@rows.json", "this must be a JSON object"),
        ("data", "write KEY=VALUE, KEY=@FILE, @FILE or a JSON object"),
        ("=3", "write KEY=VALUE, KEY=@FILE, @FILE or a JSON object"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(part: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input(["n=1", part])
    [fault] = caught.value.faults
    assert (fault.path, reason in fault.problem) == (part, True)


def test_a_refused_file_says_how_the_text_itself_is_given() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input(["to=@ada"])
    assert caught.value.faults[0].hint.endswith("""'to="@ada"'""")


def test_a_file_without_an_end_is_read_no_further_than_its_limit() -> None:
    with pytest.raises(InvalidError, match="more than 1,000 bytes"):
        read_text("/dev/zero", 1_000)
