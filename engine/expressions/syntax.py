"""Text to tree: the grammar of CEL, without its byte strings and message literals.

Own code, although the `cel` library parses too: it gives no tree to find references in, and
its loops take time by the square of the list (map over 10,000 entries: 2.3 s that nothing can
interrupt). The caps here bound the work before any of it is done.
Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from engine.codec import MAX_INTEGER
from engine.errors import ExpressionError
from engine.expressions import tree
from engine.expressions.tree import Node

MAX_LENGTH = 4096  # characters of one expression
MAX_NESTING = 32  # brackets, signs and choices inside one another
MAX_HEIGHT = 150  # of the tree: evaluation takes about two frames a level, of Python's 1,000
MAX_LOOPS = 3  # inside one another

MACROS = ("all", "exists", "exists_one", "filter", "map")
_LEVELS = {"||": 1, "&&": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}
_LEVELS |= dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3)
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}
RESERVED = frozenset(
    re.findall(
        r"\w+",
        "as break const continue else for function if import in let loop package namespace "
        "return var void while",
    )
)
_TOKEN = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>(?:0[xX][0-9a-fA-F]+|\d+)[uU]?)
    |(?P<string>[rR]?(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"
        |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<op>&&|\|\||==|!=|<=|>=|[<>!+\-*/%?:,.()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)) | {c: c for c in "\\'\"`?"}


class Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """Return the tree of ``text``.

    Raises:
        ExpressionError: saying what was found where, or which cap was passed.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters, over the limit of {MAX_LENGTH}",
            hint="split it over transform steps",
        )
    node = _Parser(text).whole()
    if tree.height(node) > MAX_HEIGHT:
        raise ExpressionError(
            f"the expression chains more than {MAX_HEIGHT} operations", hint="split it"
        )
    if tree.loop_depth(node) > MAX_LOOPS:
        raise ExpressionError(
            f"more than {MAX_LOOPS} loops run inside one another", hint="use a python step"
        )
    return node


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """Yield the tokens of ``text`` from ``start`` on; one of kind ``bad`` ends them."""
    at = start
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            yield Token("bad", text[at], at)
            return
        if match.lastgroup != "space":
            yield Token(match.lastgroup or "", match.group(), at)
        at = match.end()


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.tokens = [*tokens(text), Token("end", "the end", len(text))]
        self.position = 0
        self.nesting = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def whole(self) -> Node:
        if self.token.kind == "end":
            raise ExpressionError("the expression is empty", hint="write ${{ input.name }}")
        node = self.expression()
        if self.token.kind != "end":
            self.fail("an operator or the end")
        return node

    def expression(self) -> Node:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise ExpressionError(
                f"the expression is nested over {MAX_NESTING} deep", hint="split it"
            )
        node = self.binary(1)
        if self.take("?"):
            yes = self.binary(1)
            self.expect(":")
            node = tree.Choice(node, yes, self.expression())
        self.nesting -= 1
        return node

    def binary(self, lowest: int) -> Node:
        node = self.unary()
        while (level := _LEVELS.get(self.token.text, 0)) >= lowest and self.token.kind != "string":
            operator = self.advance().text
            node = tree.Binary(operator, node, self.binary(level + 1))
        return node

    def unary(self) -> Node:
        signs = []
        while self.token.text in ("!", "-") and self.token.kind == "op":
            signs.append(self.advance().text)
        if len(signs) > MAX_NESTING:
            raise ExpressionError("too many signs in a row", hint="remove them")
        # The literal takes its sign: -9223372036854775808 has no positive twin.
        negative = bool(signs) and signs[-1] == "-" and self.token.kind in ("int", "float")
        if negative:
            signs.pop()
        node = self.postfix(negative=negative)
        for sign in reversed(signs):
            node = tree.Unary(sign, node)
        return node

    def postfix(self, *, negative: bool) -> Node:
        node = self.primary(negative=negative)
        while True:
            if self.take("."):
                node = self.member(node)
            elif self.take("["):
                key = self.expression()
                self.expect("]")
                node = tree.Index(node, key)
            else:
                return node

    def member(self, target: Node) -> Node:
        name = self.name("a field name")
        if not self.take("("):
            return tree.Select(target, name)
        if name in MACROS:
            return self.macro(name, target)
        return tree.Call(name, (target, *self.list(")")))

    def macro(self, kind: str, target: Node) -> Node:
        variable = self.name("a variable's name")
        self.expect(",")
        body = self.expression()
        if kind == "map" and self.take(","):
            target = tree.Macro("filter", target, variable, body)
            body = self.expression()
        self.expect(")")
        return tree.Macro(kind, target, variable, body)

    def primary(self, *, negative: bool) -> Node:
        token = self.advance()
        if token.kind in ("int", "float"):
            return tree.Literal(_number(token, negative=negative))
        if token.kind == "string":
            return tree.Literal(_string(token))
        if token.kind == "name":
            return self.named(token)
        if token.text == "(":
            node = self.expression()
            self.expect(")")
            return node
        if token.text == "[":
            return tree.Items(tuple(self.list("]")))
        if token.text == "{":
            return self.pairs()
        self.position -= token.kind != "end"
        return self.fail("a value")

    def named(self, token: Token) -> Node:
        if token.text in _WORDS:
            return tree.Literal(_WORDS[token.text])
        if token.text in RESERVED:
            self.position -= 1
            self.fail("a value")
        if not self.take("("):
            return tree.Name(token.text)
        arguments = self.list(")")
        if token.text != "has":
            return tree.Call(token.text, tuple(arguments))
        if len(arguments) != 1 or not isinstance(arguments[0], tree.Select):
            raise ExpressionError("has(...) takes one field", hint="write has(input.name)")
        return tree.Has(arguments[0].target, arguments[0].field)

    def list(self, closing: str) -> list[Node]:
        entries: list[Node] = []
        while not self.take(closing):
            entries.append(self.expression())
            if not self.take(","):
                self.expect(closing)
                break
        return entries

    def pairs(self) -> Node:
        entries: list[tuple[Node, Node]] = []
        while not self.take("}"):
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression()))
            if not self.take(","):
                self.expect("}")
                break
        return tree.Pairs(tuple(entries))

    def name(self, wanted: str) -> str:
        if self.token.kind != "name" or self.token.text in _WORDS or self.token.text == "in":
            self.fail(wanted)
        return self.advance().text

    def advance(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.position += 1
        return token

    def take(self, text: str) -> bool:
        if self.token.kind == "op" and self.token.text == text:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            self.fail(f"'{text}'")

    def fail(self, wanted: str) -> NoReturn:
        token = self.token
        found = token.text if token.kind == "end" else f"'{token.text[:40]}'"
        hint = (
            "write && for and, || for or, ! for not" if token.text in ("and", "or", "not") else ""
        )
        if token.kind == "bad" and token.text in "'\"":
            hint = "close the quote"
        if token.text == "=":
            hint = "compare with =="
        raise ExpressionError(
            f"expected {wanted} at character {token.at + 1}, found {found}", hint=hint
        )


def _number(token: Token, *, negative: bool) -> int | float:
    text = token.text.rstrip("uU") if token.kind == "int" else token.text
    value: int | float
    if token.kind == "float":
        value = float(text)
        if value == float("inf"):
            raise ExpressionError(
                f"the number {text[:30]} is beyond what a double holds", hint="use a string"
            )
    else:
        value = int(text, 16 if text[:2] in ("0x", "0X") else 10)
    if token.kind == "int" and value > MAX_INTEGER + negative:
        raise ExpressionError(f"the number {text[:30]} is beyond 64 bits", hint="use a string")
    return -value if negative else value


def _string(token: Token) -> str:
    text = token.text
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    quotes = 3 if body[:3] in ("'''", '"""') and len(body) >= 6 else 1
    body = body[quotes:-quotes]
    return body if raw else _ESCAPE.sub(_unescape, body)


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code in _ESCAPES:
        return _ESCAPES[code]
    if len(code) == 1:
        raise ExpressionError(f"there is no escape \\{code} in a string", hint="write \\\\ for one")
    number = int(code, 8) if code.isdigit() else int(code[1:], 16)
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise ExpressionError(f"\\{code} is not a character", hint="remove it")
    return chr(number)
