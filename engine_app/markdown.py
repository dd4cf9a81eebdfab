"""Markdown of steps as HTML that is safe to put into a page.

Raw HTML is shown as it is typed, links go to the web only and tell it nothing, and nothing is
loaded from elsewhere: a picture becomes a link to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from engine.io.artifacts import is_web_address


class _Safe(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802  # the library's name
        """Return whether a link may lead there: its text is kept as text when not."""
        return is_web_address(url)


def _opened(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, _env: Any
) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    tokens[index].attrSet("target", "_blank")
    return renderer.renderToken(tokens, index, options, _env)


_MARKDOWN = _Safe("js-default", {"html": False}).disable("image")
_MARKDOWN.add_render_rule("link_open", _opened)


def to_html(text: str) -> str:
    """Return Markdown as HTML without scripts, styles, frames, pictures or forms."""
    return str(_MARKDOWN.render(text))
