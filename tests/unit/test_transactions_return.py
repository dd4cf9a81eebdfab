"""What runs in a transaction returns what it found: it may run twice, and leave things twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What runs its argument in a transaction that is tried again.
RETRIED = {
    *("write", "write_at_once", "commit", "commit_fast", "insist_on_commit", "_commit"),
    *("change", "each"),  # of the sweeper
}
ADDING = {"append", "extend", "add", "update", "insert", "setdefault", "appendleft"}
Function = ast.FunctionDef | ast.Lambda


def faults(tree: ast.AST) -> Iterator[str]:
    """Yield each place where something outside is added to from within a transaction."""
    modules = {
        name.asname or name.name
        for one in ast.walk(tree)
        if isinstance(one, ast.Import | ast.ImportFrom)
        for name in one.names
    }
    for outer in ast.walk(tree):
        if not isinstance(outer, ast.FunctionDef | ast.Module):
            continue
        inner = {one.name: one for one in ast.walk(outer) if isinstance(one, ast.FunctionDef)}
        for call in ast.walk(outer):
            if isinstance(call, ast.Call) and _name(call.func) in RETRIED:
                for given in [*call.args, *(word.value for word in call.keywords)]:
                    function = inner.get(given.id) if isinstance(given, ast.Name) else given
                    if isinstance(function, ast.FunctionDef | ast.Lambda):
                        yield from _added_outside(function, modules)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _added_outside(function: Function, modules: set[str]) -> Iterator[str]:
    """Yield what the function adds to that it has not made itself."""
    own = modules | {one.arg for one in ast.walk(function) if isinstance(one, ast.arg)}
    own |= {
        one.id
        for one in ast.walk(function)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Nonlocal):
            yield f"line {node.lineno}: nonlocal {', '.join(node.names)}"
        changed = _changed(node)
        root = changed
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if changed is not None and isinstance(root, ast.Name) and root.id not in own:
            yield f"line {changed.lineno}: {ast.unparse(changed)}"


def _changed(node: ast.AST) -> ast.expr | None:
    """Return what the node adds to, if it does."""
    if isinstance(node, ast.AugAssign) and not isinstance(node.target, ast.Name):
        return node.target
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value if node.func.attr in ADDING else None
    return None


def test_each_that_is_watched_is_there() -> None:
    defined = {
        one.name
        for path in (ROOT / "engine").rglob("*.py")
        for one in ast.walk(ast.parse(path.read_text()))
        if isinstance(one, ast.FunctionDef)
    }
    assert defined >= RETRIED


@pytest.mark.parametrize("package", ["engine", "actors", "engine_app"])
def test_no_transaction_adds_to_what_is_outside_of_it(package: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}, {fault}"
        for path in (ROOT / package).rglob("*.py")
        for fault in faults(ast.parse(path.read_text()))
    }
    assert found == set()


@pytest.mark.parametrize(
    "body",
    [
        "sends.now += [1]",
        "found.append(1)",
        "by[key] += 1",
        "self.seen.add(key)",
        "bulk.looks.extend([1])",
    ],
)
def test_what_adds_to_the_outside_is_found(body: str) -> None:
    source = f"""
def verb(self, database, found, sends, by, key, bulk):
    def move(tx):
        {body}
    database.write(move)
"""
    assert len(list(faults(ast.parse(source)))) >= 1


@pytest.mark.parametrize(
    "body", ["mine = []; mine.append(1)", "tx.dispatches.append(1)", "return 1"]
)
def test_what_adds_to_its_own_is_not(body: str) -> None:
    source = f"def verb(database):\n  def move(tx):\n    {body}\n  commit(database, move)"
    assert list(faults(ast.parse(source))) == []
