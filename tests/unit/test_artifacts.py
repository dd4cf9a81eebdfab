"""What a step makes for people: fit to be kept, and harmless to look at."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import StepError
from engine.io.artifacts import LINK, MARKDOWN, TABLE, is_web_address, kind_of
from engine.steps.attempt_log import Progress
from engine.steps.context import MAX_ARTIFACT, MAX_NOTE, Context
from engine.store.reads import ArtifactRow
from engine_app.markdown import to_html
from engine_app.states import artifacts as drawing
from engine_app.states.artifacts import Thing
from engine_app.states.view_models import progress

HOSTILE = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "//evil.example/x",
    "/api/executions",
    "https:///no-host",
    "https:\\\\evil.example",
    "http://[::1",
    "",
)


def attempt() -> Context:
    return Context(
        execution_id="0" * 13, workflow="w", step="s", idempotency_key="0000000000000.0.-1"
    )


def row(name: str, media_type: str, size: int = 10, **more: Any) -> ArtifactRow:
    values: dict[str, Any] = {
        "id": "00000000000a1",
        "step": "make",
        "item": None,
        "attempt": 1,
        "name": name,
        "kind": kind_of(media_type),
        "media_type": media_type,
        "size": size,
        "created_at": 0,
    }
    return ArtifactRow(**values | more)


def only(context: Context) -> tuple[str, str, bytes]:
    [made] = context.artifacts
    return made.name, made.media_type, made.body


# --- made by a step ----------------------------------------------------------------------------


def test_markdown_a_table_and_a_link_have_types_of_their_own() -> None:
    context = attempt()
    context.markdown("report", "# Done")
    context.table("rows", [{"a": 1}, {"b": None, "a": "x"}])
    context.link("source", "https://example.org/a?b=c", "The source")
    assert [(one.name, one.media_type) for one in context.artifacts] == [
        ("report", MARKDOWN),
        ("rows", TABLE),
        ("source", LINK),
    ]
    bodies = [one.body for one in context.artifacts]
    assert bodies[0] == b"# Done"
    assert json.loads(bodies[1]) == {
        "columns": ["a", "b"],
        "rows": [{"a": 1}, {"b": None, "a": "x"}],
    }
    assert json.loads(bodies[2]) == {"url": "https://example.org/a?b=c", "title": "The source"}


def test_an_image_is_one_that_browsers_draw() -> None:
    context = attempt()
    context.image("dot.png", b"\x89PNG")
    assert only(context) == ("dot.png", "image/png", b"\x89PNG")
    with pytest.raises(StepError, match="text/html"):
        context.image("page", b"<script>", "text/html")


def test_a_file_is_copied_with_the_type_that_its_name_tells(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a,b\n")
    for name, media_type, wanted in (
        ("table.csv", None, "text/csv"),
        ("table", None, "application/octet-stream"),
        ("table", "text/plain", "text/plain"),
    ):
        context = attempt()
        context.file(name, tmp_path / "data", media_type)
        assert only(context) == (name, wanted, b"a,b\n")


def test_a_file_over_the_limit_or_not_there_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_ARTIFACT + 1)
    with pytest.raises(StepError) as caught:
        attempt().file("huge", tmp_path / "huge")
    assert caught.value.reason == "too_large"
    with pytest.raises(StepError, match="cannot be read") as caught:
        attempt().file("none", tmp_path / "none")
    assert caught.value.reason == "rejected_input"


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", "..", "", "a\nb", "a\0b"])
def test_a_name_that_is_a_path_is_refused_by_every_kind(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x")
    makers: list[Callable[[Context], None]] = [
        lambda context: context.markdown(name, "x"),
        lambda context: context.table(name, []),
        lambda context: context.image(name, b"x"),
        lambda context: context.link(name, "https://example.org"),
        lambda context: context.file(name, tmp_path / "data"),
    ]
    for make in makers:
        context = attempt()
        with pytest.raises(StepError, match="a name is"):
            make(context)
        assert context.artifacts == []


@pytest.mark.parametrize("url", HOSTILE)
def test_a_link_that_is_no_web_address_is_refused(url: str) -> None:
    assert not is_web_address(url)
    with pytest.raises(StepError, match="no web address") as caught:
        attempt().link("x", url)
    assert (caught.value.reason, caught.value.retryable) == ("rejected_input", False)


def test_rows_that_are_no_mappings_are_refused() -> None:
    with pytest.raises(StepError, match="row 1 is no mapping"):
        attempt().table("x", [{"a": 1}, [1]])  # type: ignore[list-item]
    with pytest.raises(StepError, match="columns are over the limit"):
        attempt().table("x", [{str(number): 1 for number in range(101)}])


# --- drawn on a page ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "<iframe src='https://evil.example'></iframe>",
        "[x](javascript:alert(1))",
        "[x](JAVASCRIPT:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<javascript:alert(1)>",
        "[x]: javascript:alert(1)\n\n[x]",
        '[x](https://a.example "onmouseover=alert(1)")',
        "![x](https://evil.example/pixel.png)",
        "```<script>\n</code><script>alert(1)</script>\n```",
        "&#60;script&#62;alert(1)",
        "| a |\n|---|\n| <b onclick=x> |",
    ],
)
def test_markdown_gives_no_element_that_runs_or_loads(text: str) -> None:
    made = to_html(text)
    tags = re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)([^>]*)>", made)
    assert {name for name, _ in tags} <= {
        *("p", "a", "code", "pre", "table", "thead", "tbody", "tr", "th", "td"),
    }
    for _, attributes in tags:
        names = re.findall(r'\s([a-zA-Z-]+)="', attributes)
        assert set(names) <= {"href", "rel", "target", "title", "class"}
        for href in re.findall(r'href="([^"]*)"', attributes):
            assert html.unescape(href).startswith("https://")


def test_markdown_formats_and_its_links_tell_nothing_of_us() -> None:
    made = to_html("# Title\n\n- **bold** [site](https://example.org)\n\n| a |\n|---|\n| 1 |")
    assert "<h1>Title</h1>" in made
    assert "<strong>bold</strong>" in made
    assert "<td>1</td>" in made
    assert 'rel="noopener noreferrer nofollow" target="_blank"' in made


def test_a_table_is_drawn_as_text_and_cut() -> None:
    context = attempt()
    context.table("t", [{"n": number, "html": "<b>x</b>"} for number in range(250)])
    shown = drawing.thing("e", row("t", TABLE), only(context)[2])
    assert (shown.kind, shown.columns) == ("table", ["n", "html"])
    assert shown.rows[1] == ["1", "<b>x</b>"]
    assert len(shown.rows) == 200
    assert shown.more.startswith("and 50 more rows")


def test_a_link_is_drawn_with_its_title() -> None:
    context = attempt()
    context.link("x", "https://example.org/a")
    shown = drawing.thing("e", row("x", LINK), only(context)[2])
    assert (shown.kind, shown.url, shown.title) == (
        "link",
        "https://example.org/a",
        "https://example.org/a",
    )


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (LINK, b'{"url": "javascript:alert(1)", "title": "x"}'),
        (LINK, b'{"url": 1, "title": "x"}'),
        (LINK, b"[]"),
        (TABLE, b'{"columns": ["a"], "rows": [1]}'),
        (TABLE, b'{"columns": 1, "rows": []}'),
        (TABLE, b"not json"),
        (MARKDOWN, b"\xff\xfe"),
        (MARKDOWN, None),
        ("text/html", b"<script>"),
        ("image/tiff", b"II"),
    ],
)
def test_a_body_that_is_not_as_its_type_says_is_only_a_download(
    media_type: str, body: bytes | None
) -> None:
    shown = drawing.thing("e", row("x", media_type), body)
    assert shown.kind == "file"
    assert (shown.html, shown.rows, shown.url) == ("", [], "")
    assert shown.href == "/api/executions/e/artifacts/00000000000a1"


def test_only_the_bodies_that_are_to_be_drawn_and_are_new_are_read() -> None:
    rows = [
        row("a", MARKDOWN, id="1"),
        row("b", MARKDOWN, id="2"),
        row("c", "image/png", id="3"),
        row("d", "text/plain", id="4"),
    ]
    known = [Thing(id="1", html="<p>a</p>")]
    assert drawing.missing(rows, known) == ["2"]
    made = drawing.things("e", rows, known, {"2": b"b"})
    assert [thing.html for thing in made] == ["<p>a</p>", "<p>b</p>\n", "", ""]
    assert [thing.kind for thing in made[1:]] == ["markdown", "image", "file"]


# --- progress ----------------------------------------------------------------------------------


def test_of_progress_only_the_latest_is_kept() -> None:
    context = attempt()
    for number in range(5):
        context.progress(number, 10, "pages")
    assert context.lines.take().progress == Progress(4, 10, "pages")
    assert context.lines.take().progress is None
    context.progress(0.5, note="x" * 300 + "\0")
    told = context.lines.take().progress
    assert told is not None
    assert (told.total, len(told.note)) == (None, MAX_NOTE)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "1", True, 2**70])
def test_progress_is_a_number_that_json_has(bad: Any) -> None:
    for call in ((bad,), (1, bad)):
        with pytest.raises(StepError, match="progress: "):
            attempt().progress(*call)


def test_progress_is_told_in_words() -> None:
    assert progress(None) == ""
    assert progress({"done": 40, "total": 100, "note": ""}) == "40 of 100"
    assert progress({"done": 1234.5, "total": None, "note": "rows"}) == "1,234.5 · rows"
