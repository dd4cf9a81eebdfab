"""What a document can never mean is told with it: keys, conditions, items, constants."""

from __future__ import annotations

from typing import Any

import pytest

from engine.definition import parse
from engine.errors import ExpressionError, InvalidDocument
from engine.expressions import compile

INPUT = {
    "type": "object",
    "properties": {
        "k": {"type": "string"},
        "o": {"type": "object"},
        "many": {"type": "array"},
        "maybe": {"anyOf": [{"type": "array"}, {"type": "null"}]},
        "flag": {"type": ["boolean", "null"]},
        "any": {},
        "order": {"$ref": "#/$defs/Order"},
    },
    "$defs": {"Order": {"type": "object", "properties": {"lines": {"type": "array"}}}},
}


def document(**body: Any) -> dict[str, Any]:
    fetch = {"uses": "http", "with": {"url": "https://a.example"}}
    wide = {"uses": "transform", "with": {"value": 1}, "for_each": [1]}
    step = {"uses": "transform", "with": {"value": 1}, **body}
    return {"name": "a", "input": INPUT, "steps": {"fetch": fetch, "wide": wide, "a": step}}


def faults_of(source: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        parse(source)
    return [str(fault) for fault in caught.value.faults]


NEVER: list[tuple[dict[str, Any], str, str]] = [
    (
        {"with": {"value": {"${{ input.k }}": 1}}},
        'value["${{ input.k }}"]',
        "make the whole",
    ),
    ({"with": {"value": [{"a": {"$${{ b": 1}}]}}, "value[0].a", "an expression cannot be a key"),
    ({"for_each": {"a": "${{ input.k }}"}}, "for_each", "not a mapping"),
    ({"for_each": "${{ {'a': 1} }}"}, "for_each", "is always of type object, never a list"),
    ({"for_each": "${{ input.o }}"}, "for_each", "is always of type object, never a list"),
    ({"for_each": "${{ input.order }}"}, "for_each", "type object"),
    ({"for_each": "${{ input.k }}"}, "for_each", "type string"),
    ({"for_each": "a ${{ input.many }}"}, "for_each", "put all of it into one"),
    ({"for_each": "${{ steps.fetch.output }}"}, "for_each", "type null or object"),
    ({"for_each": "${{ input.flag ? 1 : 'a' }}"}, "for_each", "type number or string"),
    ({"when": ["${{ input.flag }}"]}, "when", "not a list"),
    ({"when": {"a": "${{ input.flag }}"}}, "when", "not a mapping"),
    ({"when": "${{ input.flag }} && ${{ input.flag }}"}, "when", "put all of it into one"),
    ({"when": "${{ 'a' }}"}, "when", "type string, never true or false"),
    ({"when": "${{ steps.fetch.status }}"}, "when", "type string"),
    ({"when": "${{ steps.wide.output }}"}, "when", "type list or null"),
    ({"when": "${{ size(input.many) }}"}, "when", "type number"),
]


@pytest.mark.parametrize(("body", "path", "said"), NEVER)
def test_what_can_never_work_is_told_with_its_path(
    body: dict[str, Any], path: str, said: str
) -> None:
    [fault] = faults_of(document(**body))
    assert fault.startswith(f"steps.a.{'with.' * ('with' in body)}{path}")
    assert said in fault


@pytest.mark.parametrize(
    "body",
    [
        {"for_each": "${{ input.many }}"},
        {"for_each": "${{ input.maybe }}"},
        {"for_each": "${{ input.any }}"},
        {"for_each": "${{ input.order.lines }}"},
        {"for_each": "${{ input.many[0] }}"},
        {"for_each": "${{ steps.wide.output }}"},
        {"for_each": "${{ steps.fetch.output.body }}"},
        {"for_each": "${{ input.flag ? [1] : input.any }}"},
        {"for_each": ["${{ input.k }}", {"a": 1}]},
        {"when": "${{ input.flag }}"},
        {"when": "${{ input.any }}"},
        {"when": "${{ steps.fetch.status == 'completed' }}\n"},
        {"when": False},
        {"with": {"value": "${{ {input.k: 1} }}"}},
    ],
)
def test_what_may_work_is_taken(body: dict[str, Any]) -> None:
    assert parse(document(**body))


def test_an_expression_in_a_title_is_refused() -> None:
    [fault] = faults_of(document() | {"title": "Report of ${{ input.k }}"})
    assert fault.startswith("title: cannot hold an expression")


def test_what_was_stored_before_these_rules_is_read_as_ever() -> None:
    for body, _, _ in NEVER:
        assert parse(document(**body), stored=True)
    assert parse(document() | {"title": "${{ a }}"}, stored=True)
    kept = parse(document(**{"with": {"value": {"${{ k }}": "${{ 1 / 0 }}"}}}), stored=True)
    with pytest.raises(ExpressionError, match="divided by zero"):
        kept.step("a").params.evaluate({})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('double("1e400")', "beyond what a double holds"),
        ("1e400", "beyond what a double holds"),
        ('int("' + "9" * 4000 + '")', "beyond 64 bits"),
        ('duration("99999999999999999999h")', "the duration is over 292 years"),
        ('duration("' + "9" * 3000 + 'h")', "the duration is over 292 years"),
        ('duration("2562048h")', "the duration is over 292 years"),
        ('duration("5")', "as 90s, 15m or 1.5h"),
        ('timestamp("2024-02-30T00:00:00Z")', "timestamp() does not work"),
        ('timestamp("2024-01-31T12:00:60Z")', "timestamp() does not work"),
        ('timestamp("2024-01-31T12:00:00")', "timestamp() does not work"),
        ('timestamp("9999-12-31T23:59:59-12:00")', "the time is out of range"),
        ('timestamp("0001-01-01T00:00:00+12:00")', "the time is out of range"),
        ("input.n + 1 / 0", "divided by zero"),
        ("size()", "size() takes 1 argument, not 0"),
        ("substring(input.t, 1, 2, 3)", "substring() takes 2 to 3 arguments, not 4"),
        ("min()", "min() takes 1 or more arguments, not 0"),
        ('trim(input.t, "a")', "trim() takes 1 argument, not 2"),
        ('input.t.matches("(")', "matches() does not work"),
        ("{'a': 1, 'a': input.n}", "the key 'a' is given twice"),
        ("{1: input.n}", "a key is a number"),
        ("input.l[-1]", "they count from 0"),
        ("input.l[1.5]", "cannot choose an entry"),
        ("input.l[null]", "cannot choose an entry"),
        ("input.b && 3", "'&&' needs true or false, not a number"),
        ("!'a'", "'!' needs true or false, not a string"),
        ("size(input.l) ? 1 : 2", "'?' needs true or false, not a number"),
        ("input.l.filter(x, x + 1 - 1).map(x, 1 / 0)", "divided by zero"),
        ("input.l.exists(x, size(x))", "'exists' needs true or false"),
    ],
)
def test_what_has_no_value_whatever_the_data_is_refused_when_it_is_compiled(
    text: str, said: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile(f"${{{{ {text} }}}}", "with.value")
    [fault] = caught.value.faults
    assert fault.path == "with.value"
    assert said in str(fault)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('double(input.t + "e400")', "beyond what a double holds"),
        ('int(input.t.replace("1", input.digits))', "beyond 64 bits"),
        ('duration(input.t + "9999999999h")', "over 292 years"),
        ('timestamp(input.t + "999-01-01T00:00:60Z")', "does not work"),
        ('duration(input.t + "h")', 3600),
        ('duration("-" + input.t + "h30m1.5s250ms")', -5401.75),
        ('int("0000" + input.t)', 1),
        ('int("-" + input.t)', -1),
        ("input.t.substring(input.zero)", "1"),
        ('timestamp("2024-01-31T12:00:00.123456789+02:00")', "2024-01-31T10:00:00.123456Z"),
        ('timestamp("2024-01-31T01:00:00+02:00").getDate()', 30),
        ("true || 1 / 0 > input.zero", None),
    ],
)
def test_what_only_the_data_shows_is_exact_or_an_error(text: str, expected: Any) -> None:
    scope = {"input": {"t": "1", "zero": 0.0, "digits": "9" * 6000}}
    if isinstance(expected, str) and " " in expected:
        with pytest.raises(ExpressionError, match=expected):
            compile(f"${{{{ {text} }}}}", "with.value").evaluate(scope)
    elif expected is None:
        with pytest.raises(ExpressionError, match="divided by zero"):
            compile(f"${{{{ {text} }}}}", "with.value")
    else:
        assert compile(f"${{{{ {text} }}}}", "with.value").evaluate(scope) == expected
