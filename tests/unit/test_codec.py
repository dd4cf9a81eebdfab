"""The codec takes what both databases can keep, and names the path to what they cannot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from engine.codec import decode, decode_strict, encode, member, plain
from engine.errors import PayloadError

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


@settings(derandomize=True, max_examples=100)
@given(values)
def test_what_is_encoded_decodes_to_the_same(value: Any) -> None:
    assert decode(encode(value)) == value
    assert plain(value) == value


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({"a": [1, math.nan]}, "a[1]", "is nan"),
        ({"a": {"b": math.inf}}, "a.b", "is inf"),
        ([-math.inf], "[0]", "is -inf"),
        ({"a": "x\0"}, "a", "NUL"),
        ({"x\0": 1}, '["x\\u0000"]', "NUL"),
        (["\ud800"], "[0]", "surrogate"),
        ({"a": {1: 2}}, "a", "not text (int)"),
        ({"a": {None: 2}}, "a", "not text (NoneType)"),
        ([2**63], "[0]", "64 bits"),
        ({"odd key": -(2**63) - 1}, '["odd key"]', "64 bits"),
        ({"a": object()}, "a", "object, which JSON cannot carry"),
        ({"a": b"x"}, "a", "bytes, which JSON cannot carry"),
        (math.nan, "the value", "is nan"),
    ],
)
def test_a_refusal_names_the_path_and_the_reason(value: Any, path: str, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode(value)
    assert caught.value.message.startswith(path)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    "text",
    ['"\\u0000"', '"\\ud800"', "9223372036854775808", "NaN", "1e400", "", "{", b"\xff", "[1"],
)
def test_decode_refuses_what_encode_refuses(text: str | bytes) -> None:
    with pytest.raises(PayloadError):
        decode(text)


def test_the_ends_of_64_bits_and_astral_characters_pass() -> None:
    assert decode("[9223372036854775807,-9223372036854775808]") == [2**63 - 1, -(2**63)]
    assert decode('"\\ud83d\\ude00"') == "😀"
    assert decode(encode("\\u0000")) == "\\u0000"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth_64_passes_and_65_does_not() -> None:
    assert decode("[" * 64 + "1" + "]" * 64) == nested(64)
    assert decode(encode(nested(64))) == nested(64)
    for text in ("[" * 65 + "]" * 65, "[" * 100_000 + "]" * 100_000, '{"a":' * 65 + "1" + "}" * 65):
        with pytest.raises(PayloadError, match="deeper than 64"):
            decode(text)
    with pytest.raises(PayloadError, match="deeper than 64"):
        encode(nested(10_000))


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PayloadError, match="deeper than 64"):
        encode(loop)


class Colour(StrEnum):
    RED = "red"


@dataclass
class Point:
    x: int
    at: datetime


class Order(BaseModel):
    id: UUID
    amount: Decimal


def test_values_of_the_standard_library_become_plain_json() -> None:
    moment = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    uuid = UUID(int=7)
    assert plain(
        {
            "point": Point(1, moment),
            "order": Order(id=uuid, amount=Decimal("1.5")),
            "day": date(2024, 5, 1),
            "naive": datetime(2024, 5, 1),
            "wait": timedelta(minutes=1),
            "path": Path("a/b"),
            "pair": (1, 2),
            "set": {3, 1, 2},
            "colour": Colour.RED,
            "decimals": [Decimal(3), Decimal("0.1"), Decimal("0.1234567890123456789")],
        }
    ) == {
        "point": {"x": 1, "at": "2024-05-01T12:30:00Z"},
        "order": {"id": str(uuid), "amount": "1.5"},
        "day": "2024-05-01",
        "naive": "2024-05-01T00:00:00",
        "wait": 60.0,
        "path": "a/b",
        "pair": [1, 2],
        "set": [1, 2, 3],
        "colour": "red",
        "decimals": [3, 0.1, "0.1234567890123456789"],
    }


def test_paths_are_written_as_people_write_them() -> None:
    assert member(member(member("", "steps"), "a-b"), 0) == "steps.a-b[0]"
    assert member("a", "odd key") == 'a["odd key"]'


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"a": {"b": [0, {"c": 1, "d": 2, "c": 3}]}}', "a.b[1].c"),
        ('[{"odd key": 1, "odd key": 2}]', '[0]["odd key"]'),
        ('{"a": {"k": 1, "k": 2}, "a": 3}', "a"),  # the inner one is gone with its value
        ('{"x": 1, "x": {"k": 1, "k": 2}}', "x"),
        (r'{"\u0061": 1, "a": 2}', "a"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_path(text: str, path: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_strict(text)
    assert caught.value.path == path
    assert caught.value.message == f"{path} stands twice in one object"


@pytest.mark.parametrize("text", ['{"a": {"b": 1}, "b": 1}', "[{}, {}]", '"a"', "1", "null"])
def test_what_people_wrote_is_read_as_all_else(text: str) -> None:
    assert decode_strict(text) == decode_strict(text.encode()) == decode(text)


def test_a_refusal_tells_path_and_problem_apart() -> None:
    with pytest.raises(PayloadError) as caught:
        decode('{"a": ["\\u0000"]}')
    assert (caught.value.path, caught.value.problem) == ("a[0]", "holds a NUL character")


def test_a_number_of_too_many_digits_is_refused_in_words() -> None:
    with pytest.raises(PayloadError, match="too many digits"):
        decode("9" * 5000)
