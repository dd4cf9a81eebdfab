"""The documents as data: their fenced blocks, headings, tables and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(\s*)(```+)\s*([\w-]*)")
_COMMENT = re.compile(r"<!--\s*(not run|file):\s*(.+?)\s*-->")
_LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")
_ELSEWHERE = ("http://", "https://", "mailto:")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``reason`` says why it is not run, ``file`` where the reader saves it."""

    document: str
    line: int  # of its first line of text
    language: str
    text: str
    reason: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.document}:{self.line} ({self.language or 'no language'})"


def documents() -> list[str]:
    """Return the documents' paths, the first one first."""
    found = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
    return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *found]


def text_of(document: str) -> str:
    """Return a document's text."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[Block]:
    """Return the fenced blocks of a document, in order."""
    return list(_blocks(document))


def _blocks(document: str) -> Iterator[Block]:
    lines = enumerate(text_of(document).splitlines(), 1)
    above = ""
    for _, line in lines:
        opened = _FENCE.match(line)
        if opened is None:
            above = line if line.strip() else above
            continue
        indent, fence, language = opened.groups()
        body: list[str] = []
        first = 0
        for number, inner in lines:
            if inner.strip() == fence:
                break
            first = first or number
            body.append(inner.removeprefix(indent))
        marks = dict(_COMMENT.findall(above))
        yield Block(
            document,
            first,
            language,
            "\n".join(body) + "\n",
            reason=marks.get("not run", ""),
            file=marks.get("file", ""),
        )
        above = ""


def prose(document: str) -> str:
    """Return a document without its fenced blocks."""
    kept, fence = [], ""
    for line in text_of(document).splitlines():
        found = _FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif found:
            fence = found[2]
        else:
            kept.append(line)
    return "\n".join(kept)


def section(document: str, heading: str) -> str:
    """Return the text under a heading, up to the next one of its rank or above."""
    rank = len(heading) - len(heading.lstrip("#"))
    text = text_of(document)
    assert f"\n{heading}\n" in text, f"{document} has no {heading!r}"
    after = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{rank}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """Return the words in code marks in the first cell of each row of the tables in ``text``."""
    cells = re.findall(r"^\|([^|]*)\|", text, flags=re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def broken_links(document: str) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    here = (ROOT / document).parent
    found = []
    for in_text, in_tag in _LINK.findall(prose(document)):
        link = in_text or in_tag
        if link.startswith(_ELSEWHERE):
            continue
        path, _, anchor = link.partition("#")
        target = (here / path).resolve() if path else ROOT / document
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            found.append(link)
    return found


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path.relative_to(ROOT).as_posix()), re.MULTILINE)
    # As code hosts make them: lower case, punctuation gone, spaces to hyphens.
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
