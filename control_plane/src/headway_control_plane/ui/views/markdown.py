"""Markdown of the customers' flows as HTML that cannot do anything: no HTML of theirs, no address but http(s) and mail, no image."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

_SCHEMES = frozenset({"http", "https", "mailto"})
_DEEPEST = 20  # lists in lists
_LINK = {"rel": "noopener noreferrer nofollow", "target": "_blank"}


def to_html(text: str) -> Markup:
    """Render CommonMark with tables and strikethrough."""
    return Markup(_renderer().render(text))  # noqa: S704 - made of escaped text and of tags that we chose


@cache
def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(
        ["table", "strikethrough"]
    )
    made.validateLink = _is_harmless  # type: ignore[method-assign] # the library's way to say which
    made.add_render_rule("link_open", _link)
    made.add_render_rule("image", _image)
    made.add_render_rule("th_open", _cell)
    made.add_render_rule("td_open", _cell)
    return made


def _is_harmless(url: str) -> bool:
    try:
        return urlsplit(url.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _link(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: Any,
    _env: MutableMapping[str, Any],
) -> str:
    tokens[index].attrs.update(_LINK)
    return renderer.renderToken(tokens, index, options, _env)


def _cell(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: Any,
    _env: MutableMapping[str, Any],
) -> str:
    """By class: styles in a tag are refused by the pages' own policy."""
    style = str(tokens[index].attrs.pop("style", ""))
    if "right" in style:
        tokens[index].attrs["class"] = "right"
    return renderer.renderToken(tokens, index, options, _env)


def _image(
    _renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    _options: Any,
    _env: MutableMapping[str, Any],
) -> str:
    """As a link: a page loads nothing from other hosts, and tells them of nobody who looks at it."""
    token = tokens[index]
    made = Markup('<a href="{}" rel="noopener noreferrer nofollow" target="_blank">image: {}</a>')
    return str(made.format(escape(token.attrs.get("src", "")), token.content or "without a name"))
