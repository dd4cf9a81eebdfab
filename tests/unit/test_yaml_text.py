"""YAML is read by the core schema of 1.2, and nothing in it can be made to explode."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from engine.definition import parse_text
from engine.definition.text import read
from engine.errors import InvalidDocument


def refusal_of(text: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "stands_for"),
    [
        # Source: https://yaml.org/spec/1.2.2/#103-core-schema
        ("01234", 1234), ("0777", 777), ("08", 8), ("-007", -7), ("+12", 12), ("0", 0), ("-0", 0),
        ("0o17", 15), ("0o18", "0o18"), ("0O17", "0O17"), ("0x1F", 31), ("0xfg", "0xfg"),
        ("-0x1F", "-0x1F"), ("0b101", "0b101"), ("1_000", "1_000"), ("1:30", "1:30"),
        ("9223372036854775808", 2**63), ("0" * 200 + "5", 5), ("-" + "0" * 200, 0),
        ("1.5", 1.5), ("1.", 1.0), (".5", 0.5), ("-.5e3", -500.0), ("1e3", 1000.0), 
        ("1E+3", 1000.0),
        ("+1.5", 1.5), ("1e", "1e"), (".", "."), ("+", "+"), ("1.5.2", "1.5.2"),
        (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf), (".iNf", ".iNf"),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("off", "off"), ("y", "y"), ("n", "n"),
        ("~", None), ("null", None), ("Null", None), ("NULL", None), ("", None), ("nULL", "nULL"),
        ("2027-01-31", "2027-01-31"), ("2027-01-31T08:00:00Z", "2027-01-31T08:00:00Z"), ("=", "="),
        ("'01234'", "01234"), ('"true"', "true"), ("''", ""), ("|\n  0x1F", "0x1F"),
        ("!!str 01234", "01234"), ("! 12", "12"), ('!!int "12"', 12), ("!!float 12", 12.0),
        ("!!null ''", None), ('!!bool "true"', True), ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_a_scalar_is_what_the_core_schema_says(written: str, stands_for: object) -> None:
    found = read(f"a: {written}")["a"]
    assert found == stands_for
    assert type(found) is type(stands_for)


def test_not_a_number_is_a_number_of_yaml() -> None:
    assert math.isnan(read("a: .NaN")["a"])
    with pytest.raises(InvalidDocument, match=r"steps\.a\.with\.value is inf, which JSON does not"):
        parse_text("name: x\nsteps: {a: {uses: transform, with: {value: .inf}}}")


@pytest.mark.parametrize(
    ("text", "stands_for"),
    [
        ("b: &b {k: 1, l: 2}\na:\n  <<: *b\n  k: 3", {"k": 3, "l": 2}),
        ("b: &b {k: 1, l: 2}\na:\n  k: 3\n  <<: *b", {"k": 3, "l": 2}),
        ("a: {<<: {k: 1}, k: 2}", {"k": 2}),
        ("a: {<<: [{k: 1}, {k: 2, l: 2}]}", {"k": 1, "l": 2}),
        # Of a base that overrides a base of its own, and is merged before it is used itself.
        ("b: &b {k: 1}\nc: &c\n  <<: *b\n  k: 2\nd: &d\n  <<: *c\n  k: 3\na: *d", {"k": 3}),
        ("b: &b {k: 1}\nc: &c {<<: *b, k: 2}\na: {<<: [*b, *c], m: 4}", {"k": 1, "m": 4}),
        ('a: {"<<": 1}', {"<<": 1}),
        ("b: &b {k: 1}\nc: &c {l: 2}\na:\n  <<: *b\n  <<: *c", {"k": 1, "l": 2}),
    ],
)
def test_a_merge_key_may_be_overridden(text: str, stands_for: object) -> None:
    assert read(text)["a"] == stands_for


@pytest.mark.parametrize(
    ("text", "said", "advice"),
    [
        ("a: {<<: 5}", "line 1, column 9: only mappings can be merged", "<<: *name"),
        ("a: *b", "line 1, column 4: there is no anchor 'b' before this", ""),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is given twice", "remove one"),
        ("a: 1\n'a': 3", "line 2, column 1: the key 'a' is given twice", ""),
        ("1: x", "line 1, column 1: a key must be a text", 'write "1"'),
        ("a: {true: x}", "a key must be a text", 'write "true"'),
        ("? [a]\n: 1", "a mapping or a list cannot be a key", ""),
        ("a: !!int x", "'x' is no int", "remove the tag"),
        ("a: !!binary eA==", "the tag !!binary is not known", "remove it"),
        ("a: !mine {}", "the tag !mine is not known", "remove it"),
        ("---\na: 1\n---\nb: 2", "line 3, column 1: a second document begins here", "the '---'"),
        ("a: 1\n...\n---\nb: 2", "a second document begins here", "write two files"),
        ("a: {value: ${{ 1 }}}", "line 1", "put the expression in quotes: '${{ … }}'"),
        ("a:\n  value: ${{ x ? 'a': 'b' }}", "line 2", "put the expression in quotes"),
        ("a: [${{ input.a }}]", "line 1", "put the expression in quotes"),
        ("a: {{ input.a }}", "cannot be a key", "put an expression in quotes"),
        ("a:\n\tb: 1", "line 2", "indent by spaces, not tabs"),
    ],
)
def test_a_fault_tells_its_line_and_what_to_do(text: str, said: str, advice: str) -> None:
    message = refusal_of(text)
    assert said in message
    assert advice in message


def test_a_fault_is_told_once() -> None:
    assert len(refusal_of("a: [1").splitlines()) == 1


@pytest.mark.parametrize("text", ["---\na: 1\n", "a: 1\n...\n", "\ufeffa: 1", '\ufeff{"a": 1}'])
def test_marks_around_the_one_document_are_no_fault(text: str) -> None:
    assert read(text) == {"a": 1}


def _merging(line: str, times: int) -> str:
    lines = (line.replace("N", str(n)).replace("M", str(n - 1)) for n in range(1, times))
    return "\n".join(["a0: &a0 {k: 1}", *lines])


_LONG = "x" * 50_000
COSTLY = {
    "merge keys of 485 bytes": "\n".join(
        ["a: &a {k: 1}", *(f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{'*' + chr(97 + n)}"
         f"{(', *' + chr(97 + n)) * 4}]}}" for n in range(11))]
    ),
    "merge keys that double": _merging("aN: &aN\n  <<: [*aM, *aM]\n  kN: 1", 40),
    "merge keys over one another": _merging("aN: &aN {<<: *aM, kN: 1}", 3000),
    "aliases that double": _merging("aN: &aN [*aM, *aM]", 40),
    "a long text in many aliases": f"a: &a {_LONG}\nb: [{'*a, ' * 5_000}]",
    "a list of 1.2 MB": "- a\n" * 300_000,
    "a list of 15 MB": "- a\n" * 3_750_000,
    "mappings of 15 MB": "".join(f"k{n}: {{a: {n}}}\n" for n in range(700_000)),
    "JSON of 15 MB": '{"a": [' + "[]," * 5_000_000 + "1]}",
    "JSON of 1 MB": '{"a": [' + "[1]," * 240_000 + "1]}",
}  # fmt: skip


@pytest.mark.parametrize("kind", COSTLY)
def test_a_text_that_costs_too_much_is_refused_by_its_limit(kind: str) -> None:
    began = time.process_time()
    assert "the document has " in (said := refusal_of(COSTLY[kind]))
    assert "250,000 values" in said or "texts of over 16,000,000 characters" in said
    assert time.process_time() - began < 10


def test_marks_within_texts_of_json_do_not_count() -> None:
    assert len(read('{"a": "' + ",[{" * 300_000 + '\\"", "b": 1}')["a"]) == 900_001
    assert "not YAML" in refusal_of('{"a": "' + '\\",' * 1_000_000)


def test_directives_that_libyaml_would_compare_for_ever_are_refused() -> None:
    directives = "".join(f"%TAG !t{n}! tag:x,2000:\n" for n in range(300_000))
    assert "has over 100 %TAG directives" in refusal_of(directives + "---\na: 1")


def test_aliases_are_counted_by_what_they_stand_for() -> None:
    assert len(read("a: &a 1\nb: [" + "*a, " * 5_000 + "*a]")["b"]) == 5_001


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("form", ["name: x\nsteps: {N: 1}", '{"name": "x", "steps": {"N": 1}}'])
def test_an_integer_of_5000_digits_is_refused_by_its_path(form: str, sign: str) -> None:
    digits = sign + "1" + "0" * 4_999
    text: Any = form.replace("N", "a").replace(": 1}", f": {digits}}}")
    with pytest.raises(InvalidDocument, match=r"steps\.a is an integer beyond 64 bits"):
        parse_text(text)
