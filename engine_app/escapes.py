"""What a terminal would obey in text of others, as colours of a log line: taken out, whole.

Source: ECMA-48, 5.4 (control sequences) and 5.6 (control strings)
"""

from __future__ import annotations

import re

_SEQUENCES = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
)
_ESCAPES = re.compile(_SEQUENCES)
_ALL_BUT_COLOURS = re.compile(rf"(?!\x1b\[[0-9;]*m)(?:{_SEQUENCES})")
_WRITTEN_OVER = re.compile(r"[^\n]*\r(?=[^\n])")


def without_escapes(text: str, *, keep_colours: bool = False) -> str:
    """Return the text without the sequences that a terminal obeys, each left out to its end."""
    if "\x1b" not in text and "\x9b" not in text:
        return text
    return (_ALL_BUT_COLOURS if keep_colours else _ESCAPES).sub("", text)


def last_states(text: str) -> str:
    """Return what a terminal shows in the end: a progress bar goes back to the start of its line,
    and writes over what it said before."""
    if "\r" not in text:
        return text
    return _WRITTEN_OVER.sub("", text.replace("\r\n", "\n").removesuffix("\r"))
