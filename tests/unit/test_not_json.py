"""Why a text is not JSON, in words that lead to the place."""

from __future__ import annotations

import pytest

from engine.codec import decode
from engine.errors import PayloadError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: a value was expected, found the end"),
        ("paid", "line 1, column 1: a value was expected, found 'p'"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: a comma or the end of the list or object"),
        ('{"a" 1}', "line 1, column 6: a colon was expected after the key, found '1'"),
        ("{'a': 1}", 'line 1, column 2: a key in double quotes was expected, found "\'"'),
        ("[1] 2", "line 1, column 5: nothing was expected after the value, found '2'"),
        ('["a', "line 1, column 2: the text that begins here lacks its closing quote"),
        ('["a\nb"]', "line 1, column 4: a line break or control character stands within a text"),
        ('["\\x"]', "line 1, column 3: a backslash stands before something"),
        ('{\n"ü": NaN}', "line 2, column 6: no JSON value begins like this; use null, or text"),
        (
            '{"a": "' + "1" * 5_000 + '",\n "b": [-' + "1" * 5_000 + "]}",
            "line 2, column 9: a number has too many digits; send it as text",
        ),
    ],
)
def test_line_column_and_what_was_expected_are_told(text: str, words: str) -> None:
    with pytest.raises(PayloadError) as refused:
        decode(text)
    assert refused.value.message.startswith(f"the text is not JSON: {words}")


def test_nesting_without_end_is_told_without_a_place() -> None:
    with pytest.raises(PayloadError, match="nested"):
        decode("[" * 100_000)
