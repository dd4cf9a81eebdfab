"""Expressions: one number rule, every fault with its path, no hang and no data in messages."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ExpressionError
from engine.expressions import FUNCTIONS, MACROS, compile, values

SCOPE: dict[str, Any] = {
    "input": {
        "three": 3,
        "twelve": 12.0,
        "text": "hé",
        "nothing": None,
        "list": [1, 2.5, 3],
        "big": 2**62,
        "secret": "s3cr3t",
        "a key": {"x-y": 1},
    },
    "steps": {
        "fetch": {"output": {"body": [{"n": 2.5}, {"n": 4}]}, "status": "completed"},
        "my-step": {"output": 1, "status": "completed"},
        "skipped": {"output": None, "status": "skipped"},
    },
    "item": {"id": 7},
    "index": 0,
    "execution": {"id": "x", "workflow": "w"},
}


def value_of(text: str) -> Any:
    return compile(text, "with.value").evaluate(SCOPE)


def fault_of(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        value_of(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{ input.three }}", 3),
        ("${{ input.three }}\n", 3),
        ("${{ steps.fetch.output.body[1].n }}", 4),
        ("${{ steps['my-step'].output }}", 1),
        ('${{ input["a key"]["x-y"] }}', 1),
        ("${{ input.list }}", [1, 2.5, 3]),
        ("a ${{ input.three }} b ${{ input.list }} ${{ input.nothing }}", "a 3 b [1,2.5,3] null"),
        ("${{ input.three }}${{ input.three }}", "33"),
        ("$${{ input.three }}", "${{ input.three }}"),
        ("$${{ a }} ${{ input.three }}", "${{ a }} 3"),
        ("no expression, $5 {{ }}", "no expression, $5 {{ }}"),
        ("${{ {'a': {'b': item.id}} }}", {"a": {"b": 7}}),
        ("${{ '}}' + \"{\" }}", "}}{"),
        ("${{ r'\\d' + '\\u00e9\\n' }}", "\\dé\n"),
        ("${{ execution.workflow }}", "w"),
    ],
)
def test_a_bare_expression_keeps_its_type_and_mixed_text_interpolates(
    text: str, expected: Any
) -> None:
    found = value_of(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2", 3),
        ("3 / 2", 1.5),
        ("4 / 2", 2),
        ("-7 % 3", -1),
        ("7.5 % 2", 1.5),
        ("input.three * 1.1", 3 * 1.1),
        ("input.twelve + 1", 13),
        ("input.twelve / 5", 2.4),
        ("12 / 5", 2.4),
        ("1.5 * 2", 3),
        ("0.1 + 0.2", 0.1 + 0.2),
        ("input.big + input.big - 1 - input.big", None),
        ("input.big * 2.0", 2.0**63),
        ("-9223372036854775808", -(2**63)),
        ("9007199254740993 + 0", 9007199254740993),
        ("size(input.list) * 0.5", 1.5),
        ("input.list[input.twelve - 11]", 2.5),
        ("input.list[1.0]", 2.5),
        ("1 == 1.0", True),
        ("1 in [1.0]", True),
        ("1 == true", False),
        ("1 < 1.5", True),
        ("sum([1, 0.5, 1.5])", 3),
        ("max(input.list) - min(1, 2)", 2),
        ("round(-2.5) + floor(1.9) + ceil(0.1) + abs(-1)", 0),
        ("int(3.7) + int('4')", 7),
        ("string(3.0) + string(1.5) + string(true)", "31.5true"),
        ("true + 1", None),
        ("1 / 0", None),
        ("1.0 / 0.0", None),
        ("input.big * input.big", None),
        ("1e308 * 10", None),
        ("-(-9223372036854775808)", None),
    ],
)
def test_numbers_are_json_numbers(text: str, expected: Any) -> None:
    if expected is None:
        assert "with.value" in fault_of(f"${{{{ {text} }}}}")
        return
    found = value_of(f"${{{{ {text} }}}}")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps.fetch.output.body.map(o, o.n)", [2.5, 4]),
        ("steps.fetch.output.body.filter(o, o.n > 3)", [{"n": 4}]),
        ("input.list.map(x, x > 1, x * 2)", [5, 6]),
        ("input.list.exists(x, x == 3) && input.list.all(x, x > 0)", True),
        ("input.list.exists_one(x, x == 3)", True),
        ("[1, 2].map(x, [10, 20].map(y, x * y))", [[10, 20], [20, 40]]),
        ("[1].map(x, [2].map(x, x))[0][0] + [3].map(x, x)[0]", 5),
        ("has(input.text) && !has(input.other)", True),
        ("has(steps.skipped.output.total)", False),
        ("steps.skipped.output == null", True),
        ("input.three > 2 ? 'more' : 'less'", "more"),
        ("true || input.other", True),
        ("input.other || true", True),
        ("input.other && false", False),
        ("'text' in input && !('x' in input)", True),
        ("input.text.matches('^h.$') && input.text.startsWith('h')", True),
        ("'a,b'.split(',').join('-').upperAscii().replace('-', '')", "AB"),
        ("' x '.trim().contains('x')", True),
        ("'hello'.substring(1, 3) + string([1])", "el[1]"),
        ("timestamp('2024-01-31T23:00:00Z') + duration('90m')", "2024-02-01T00:30:00Z"),
        ("timestamp('2024-01-31T23:00:00Z').getFullYear()", 2024),
        ("timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')", 86400),
        ("{'a': 1, 'b': [2]} == {'b': [2.0], 'a': 1}", True),
        ("double('1.5') + (bool('true') ? 1 : 0)", 2.5),
    ],
)
def test_the_language_of_cel(text: str, expected: Any) -> None:
    assert value_of(f"${{{{ {text} }}}}") == expected


AGREED = [
    "1 < 2", "'a' < 'b'", "1 == 1.0", "[1, 2] + [3]", "1 in [1, 2]", "'a' in {'a': 1}",
    "[1, 2, 3].filter(x, x > 1).size()", "[1, 2].exists(x, x == 2)", "true ? 1 : 2",
    "!true || true", "-(5) + 1", "-5.5", "!(1 > 2)",
    "'ab'.endsWith('b')", "2 + 3 * 4 - 5", "(2 + 3) * 4", "-2 * -3", "7 % 3", "[[1], [2]][1][0]",
    "{'a': {'b': 1}}.a.b", "has({'a': 1}.a)", "1.5 + 2.25", "'\\x41\\101'", "[1, 2].map(x, x + 1)",
    "false && true || true", "1 + 1 == 2 && 2 > 1", "true ? (false ? 1 : 2) : 3", "'''a'b'''",
    "[1, 2, 3].exists_one(x, x > 2)", "{'a': 1}.map(k, k)", "1 != 2", "0x1F", "[].all(x, x)",
]  # fmt: skip


@pytest.mark.parametrize("text", AGREED)
def test_where_numbers_are_not_concerned_the_cel_library_agrees(text: str) -> None:
    assert value_of(f"${{{{ {text} }}}}") == cel.evaluate(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${{ inptu.x }}", "did you mean 'input'"),
        ("${{ sizee(input.list) }}", "did you mean 'size'"),
        ("${{ steps.my-step.output }}", "write steps['my-step']"),
        ("${{ steps }}", "needs a step's name"),
        ("${{ steps[input.text] }}", "needs a step's name"),
        ("${{ input.text", "never closed"),
        ("${{ }}", "empty"),
        ("${{ input.three = 3 }}", "compare with =="),
        ("${{ true and false }}", "write && for and"),
        ("${{ (1 }}", "expected ')'"),
        ("${{ 'a }}", "never closed"),
        ("${{ input.list.map(input, input) }}", "already has a meaning"),
        ("${{ secrets.key }}", "secrets are not there yet"),
        ("${{ !for }}", "expected a value"),
        ("${{ b'ab' }}", "expected"),
        ("${{ 99999999999999999999 }}", "beyond 64 bits"),
        ("${{ '\\q' }}", "no escape"),
        ("${{ " + "(" * 40 + "1" + ")" * 40 + " }}", "nested over 32"),
        ("${{ " + "-" * 100 + "input.three }}", "too many signs"),
        ("${{ " + "+".join(["1"] * 400) + " }}", "chains more than"),
        ("${{ '" + "x" * 5000 + "' }}", "over the limit of 4096"),
        ("${{ [1].map(a, [1].map(b, [1].map(c, [1].map(d, 1)))) }}", "more than 3 loops"),
    ],
)
def test_a_wrong_expression_is_refused_before_it_runs(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile(text, "steps.a.with.value")
    assert said in str(caught.value)
    assert [fault.path for fault in caught.value.faults] == ["steps.a.with.value"]


def test_all_faults_of_a_value_are_named_with_their_paths() -> None:
    value = {"a": "${{ x }}", "b": ["ok", "${{ y }} ${{ z }}"], "c": {"odd key": "${{ 1 + }}"}}
    with pytest.raises(ExpressionError) as caught:
        compile(value, "with")
    paths = [fault.path for fault in caught.value.faults]
    assert paths == ["with.a", "with.b[1]", "with.b[1]", 'with.c["odd key"]']


@pytest.mark.parametrize(
    "text",
    [
        "${{ int(input.secret) }}",
        "${{ timestamp(input.secret) }}",
        "${{ duration(input.secret) }}",
        "${{ input.secret + 1 }}",
        "${{ input.secret.field }}",
        "${{ input.secret[0] }}",
        "${{ input.secret ? 1 : 2 }}",
        "${{ input.list.matches(input.secret) }}",
        "${{ input.secret.matches('(' + input.secret) }}",
        "${{ input[input.text + input.secret] > 1 && true }}",
        "${{ sum([input.secret]) }}",
    ],
)
def test_a_message_never_repeats_the_data(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    message = fault_of(text)
    assert "with.value: " in message
    if "input[" not in text:
        assert "s3cr3t" not in message
    assert capfd.readouterr() == ("", "")


BIG = "'" + "x" * 900 + "'"
HOSTILE = [
    "input.many.map(a, input.many.map(b, input.many.map(c, a)))",
    "input.many.filter(a, input.many.exists(b, input.many.all(c, c >= 0) && b < 0))",
    f"input.many.map(a, {BIG} + {BIG})" + ".map(a, a + a)" * 12,
    "['x']" + ".map(a, a + a)" * 40,
    "['x']" + ".map(a, a.replace('x', 'xxxxxxxxxx'))" * 12,
    "[['x']]" + ".map(a, a + a)" * 40,
    "[1]" + ".map(x, [x, x])" * 60,
    "[[1]" + ".map(x, [x, x])" * 40 + "] == [[1]" + ".map(x, [x, x])" * 40 + "]",
    "input.many.map(x, input.words.matches('(a{99}){99}' + string(x)))",
    "input.many.map(x, input.words.matches('(a{30}){30}b'))",
    "input.many.map(x, input.words.matches('(a+)+$'))",
    "input.many.map(x, input.many.map(y, input.words + input.words).size())",
    "input.many.map(x, input.words.split('a').size())",
    "input.many.map(x, input.many == input.many)",
    "string([1]" + ".map(x, [x, x])" * 40 + ")",
]


def ends_in(text: str) -> float:
    """Return the seconds of this thread until ``text`` ends in an error."""
    scope = {"input": {"many": list(range(20_000)), "words": "a" * 100_000}}
    started = time.thread_time()
    with pytest.raises(ExpressionError):
        compile(f"${{{{ {text} }}}}", "with").evaluate(scope)
    return time.thread_time() - started


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_expression_ends_in_an_error_soon(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tenth of the budget keeps the test short: the time goes with it.
    monkeypatch.setattr(values, "BUDGET", values.BUDGET // 10)
    assert ends_in(text) < 1.5


def test_the_whole_budget_is_used_up_within_seconds() -> None:
    assert ends_in(HOSTILE[0]) < 10


def test_ten_thousand_items_are_mapped_well_within_a_second() -> None:
    scope = {"input": {"many": [{"amount": number} for number in range(10_000)]}}
    template = compile("${{ sum(input.many.map(o, o.amount * 2)) }}", "with")
    started = time.thread_time()
    assert template.evaluate(scope) == 99_990_000
    assert time.thread_time() - started < 1


def test_references_are_found_but_not_in_texts_and_loop_variables() -> None:
    template = compile(
        {
            "a": "${{ steps.one.output.x }} and 'steps.no.output'",
            "b": "${{ 'steps.no' + steps['two-2'].status }}",
            "c": "${{ has(steps.three.output.x) ? input.y : item }}",
            "d": "${{ steps.four.output.map(o, o.z + steps.five.output[0]) }}",
        },
        "with",
    )
    assert template.steps == {"one", "two-2", "three", "four", "five"}
    assert {reference.path[0] for reference in template.references} == {"steps", "input", "item"}
    assert not template.constant
    assert compile({"a": [1, "$${{"]}, "with").steps == frozenset()
    assert compile({"a": [1, "text"]}, "with").constant


paths = st.lists(
    st.text("abc_", min_size=1, max_size=3) | st.integers(0, 2), min_size=1, max_size=4
)


@settings(derandomize=True, max_examples=200)
@given(paths, st.integers() | st.booleans() | st.text("xyz") | st.none())
def test_a_path_leads_to_what_was_put_there(path: list[str | int], leaf: Any) -> None:
    value: Any = leaf
    text = ""
    for key in reversed(path):
        value = [None] * key + [value] if isinstance(key, int) else {key: value}
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    scope = {"input": {"root": value}}
    assert compile(f"${{{{ input.root{text} }}}}", "with").evaluate(scope) is leaf
    slow = compile(f"${{{{ [input.root{text}][0] }}}}", "with").evaluate(scope)
    assert slow == leaf


@settings(derandomize=True, max_examples=300)
@given(st.text("()[]{}.,:?!-+*/%<>=&|'\"\\ abinputx0123 \n$", max_size=60))
def test_any_text_either_compiles_or_is_refused_with_a_path(text: str) -> None:
    try:
        compile("${{" + text + "}}", "with").evaluate({"input": {"a": 1}})
    except ExpressionError as error:
        named = error.faults or error.message.startswith("with: ")
    else:
        named = True
    assert named


def test_the_reference_names_every_function_and_only_those() -> None:
    text = (Path(__file__).parents[2] / "docs" / "workflows.md").read_text()
    table = text.split("| functions |", 1)[1].split("\n\n", 1)[0]
    told = set(re.findall(r"`(\w+)", table))
    assert told == {*FUNCTIONS, *MACROS, "has"}


def test_expressions_need_nothing_for_terminals() -> None:
    asked = (
        "import sys, engine.expressions; print([n for n in sys.modules if 'prompt_toolkit' in n])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    real = "import engine.expressions, cel.cli; print(callable(cel.cli.main))"
    done = subprocess.run([sys.executable, "-c", real], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


# --- parts of times, and patterns, as the standard has them ---------------------------------------

PARTS = "FullYear Month Date DayOfMonth DayOfWeek DayOfYear Hours Minutes Seconds Milliseconds"


@given(st.datetimes(timezones=st.just(UTC)))
@settings(max_examples=60)
def test_each_part_of_a_time_is_the_references(moment: datetime) -> None:
    for part in PARTS.split():
        expected = cel.compile(f"a.get{part}()").execute({"a": moment})
        assert value_of(f"${{{{ timestamp('{moment.isoformat()}').get{part}() }}}}") == expected


@given(st.timedeltas(timedelta(days=-40_000), timedelta(days=40_000)))
@settings(max_examples=60)
def test_each_part_of_a_duration_is_the_references(length: timedelta) -> None:
    text = f"{length // timedelta(microseconds=1)}us"
    for part in ("Hours", "Minutes", "Seconds", "Milliseconds"):
        expected = cel.compile(f"a.get{part}()").execute({"a": length})
        assert value_of(f"${{{{ duration('{text}').get{part}() }}}}") == expected


def test_a_duration_has_no_date() -> None:
    with pytest.raises(ExpressionError, match="getDate"):
        value_of("${{ duration('1h').getDate() }}")


@pytest.mark.parametrize(
    ("text", "pattern", "found"),
    [
        ("a\nb", "a.b", False),
        ("ABC", "(?i)b", True),
        ("xa", "^a", False),
        ("x", r"\p{L}", True),
        # Letters, digits and spaces of ASCII, as RE2 has them.
        ("ä", r"\w", False),
        ("a\u00a0b", r"a\sb", False),
        ("word", r"\bword\b", True),
    ],
)
def test_a_pattern_means_what_the_standard_says(text: str, pattern: str, *, found: bool) -> None:
    scope = {"text": text, "pattern": pattern}
    assert (
        compile("${{ input.text.matches(input.pattern) }}", "x").evaluate({"input": scope}) is found
    )


@pytest.mark.parametrize("pattern", ["a(?=b)", r"(a)\1", "[a-", "a++", "(?x) a"])
def test_a_pattern_that_cannot_be_matched_in_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(ExpressionError, match="matches"):
        compile("${{ 'a'.matches(input.p) }}", "x").evaluate({"input": {"p": pattern}})
