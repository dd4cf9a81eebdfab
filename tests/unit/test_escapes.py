"""Text of others on a terminal and on a page: no codes, and of a progress bar its last state."""

from __future__ import annotations

import pytest

from engine_app.cli.output import clean
from engine_app.escapes import last_states, without_escapes

BAR = "".join(f"\r{n * 5:3}%|{'#' * n:20}|" for n in range(21))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31merror\x1b[0m here", "error here"),
        ("\x1b[38;2;255;0;0mtrue colour\x1b[m", "true colour"),
        ("up\x1b[2A\x1b[2K\x1b[?25lnow", "upnow"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;https://example.org\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        ("\x1bPq#0;2;0\x1b\\after", "after"),
        ("\x1b(Bchars\x1b=", "chars"),
        ("\x9b31meight bits", "eight bits"),
        ("plain [31m text", "plain [31m text"),
    ],
)
def test_a_sequence_is_left_out_whole(text: str, shown: str) -> None:
    assert without_escapes(text) == shown


def test_colours_stay_where_they_are_asked_for() -> None:
    text = "\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07"
    assert without_escapes(text, keep_colours=True) == "\x1b[31mred\x1b[0m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (BAR, f"100%|{'#' * 20}|"),
        (f"before\n{BAR}\nafter", f"before\n100%|{'#' * 20}|\nafter"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("half\r", "half"),
        ("nothing", "nothing"),
    ],
)
def test_a_progress_bar_is_its_last_state(text: str, shown: str) -> None:
    assert last_states(text) == shown


def test_what_is_left_of_a_broken_sequence_cannot_drive_the_terminal() -> None:
    assert clean("a\x1b") == "a\ufffd"
    assert clean("a\x07b\x1b[") == "a\ufffdb"
    assert clean(f"\x1b[32m{BAR}\x1b[0m") == f"100%|{'#' * 20}|"
