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
MOST_MARKDOWN = 49_000
"""Characters that are rendered; the worst text of this length takes about a second."""
_MOST_ADDRESSES = 1 << 20
"""Characters of all addresses and titles together: one that is named once may be used in each line."""
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
    env: MutableMapping[str, Any],
) -> str:
    attrs = tokens[index].attrs
    if not _has_room(env, attrs.get("href"), attrs.get("title")):
        attrs.clear()
    attrs.update(_LINK)
    return renderer.renderToken(tokens, index, options, env)


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
    env: MutableMapping[str, Any],
) -> str:
    """As a link: a page loads nothing from other hosts, and tells them of nobody who looks at it."""
    token = tokens[index]
    source = token.attrs.get("src", "")
    made = Markup('<a href="{}" rel="noopener noreferrer nofollow" target="_blank">image: {}</a>')
    if not _has_room(env, source):
        made = Markup("<a>image: {1}</a>")
    return str(made.format(escape(source), token.content or "without a name"))


def _has_room(env: MutableMapping[str, Any], *texts: object) -> bool:
    """Whether these may stand in the page as well."""
    env["addresses"] = env.get("addresses", 0) + sum(len(str(text)) for text in texts)
    return bool(env["addresses"] <= _MOST_ADDRESSES)
