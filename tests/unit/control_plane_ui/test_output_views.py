"""What pages make of artifacts and metrics: markdown that cannot act, tables, charts of extreme numbers."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_control_plane.domain.streams import Blob
from headway_control_plane.projections.artifacts import ArtifactView
from headway_control_plane.projections.metrics import Point, Series
from headway_control_plane.ui.views.artifact_view import artifact_of
from headway_control_plane.ui.views.chart import HEIGHT, WIDTH, chart_of, number
from headway_control_plane.ui.views.markdown import MOST_MARKDOWN, to_html

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VIEW = ArtifactView(
    UUID(int=1), b"\x01" * 16, 1, b"", "markdown", "report", 3, True, "text/markdown", 4, b"", b"", None, 7, NOW, NOW
)  # fmt: skip
TAGS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "hr", "br",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


class Seen(HTMLParser):
    """All tags and attributes of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def is_harmless(html: str) -> bool:
    seen = Seen(html)
    names = {name for name, _ in seen.attributes}
    addresses = [value or "" for name, value in seen.attributes if name == "href"]
    return (
        seen.tags <= TAGS
        and names <= {"href", "rel", "target", "title", "start", "class"}
        and all(address.startswith(("http://", "https://", "mailto:")) for address in addresses)
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](java\nscript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "[a](//evil.example)",
        "[a](vbscript:x)",
        "![a](https://tracker.example/a.png)",
        "![a](javascript:alert(1))",
        "<javascript:alert(1)>",
        '[a](https://x.example/" onmouseover="alert(1))',
        '[a](https://x.example "t\\" onmouseover=\\"alert(1)")',
        "[a]: javascript:alert(1)\n\n[a]",
        "```<script>\n</code></pre><script>alert(1)</script>\n```",
        "| a |\n|---|\n| <script> |",
        "> " * 5000 + "deep",
        "- " * 5000,
        "[" * 20_000,
        "*" * 20_000,
        "\x00\ufffd\u202e",
    ],
)
def test_no_markdown_acts(text: str) -> None:
    assert is_harmless(to_html(text))


@given(st.text(alphabet="<>[]()!*_`\"'&#:/=\n -|javscriptonerlhf1;", max_size=200))
def test_whatever_is_typed_is_harmless(text: str) -> None:
    assert is_harmless(to_html(text))


@pytest.mark.parametrize("use", ["[a] ", "![a] ", "[x][a] "])
def test_an_address_that_is_named_often_does_not_grow_the_page_beyond_measure(use: str) -> None:
    text = f"[a]: https://x.example/{'A' * 30_000} '{'t' * 2_000}'\n\n" + use * 5_000
    html = to_html(text)
    assert len(html) < 4 << 20
    assert html.count("</a>") == 5_000
    assert is_harmless(html)


def test_a_long_text_is_cut_and_says_so() -> None:
    made = shown("markdown", b"*word* " * 30_000, "text/markdown")
    assert made.html is not None
    assert made.html.count("<em>") == MOST_MARKDOWN // 7
    assert made.rest == "Its beginning; all of it: headway artifacts show"
    assert shown("markdown", b"*word*", "text/markdown").rest == ""


def test_aligned_columns_need_no_style() -> None:
    html = to_html("| a | b | c |\n|:--|--:|:-:|\n| 1 | 2 | 3 |")
    assert is_harmless(html)
    assert html.count('class="right"') == 2


def test_links_open_apart_and_images_are_links() -> None:
    html = to_html("[good](https://good.example) ![pic](https://x.example/p.png)")
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "<img" not in html
    assert "image: pic" in html


def shown(kind: str, content: bytes, media_type: str = "application/json"):
    blob = Blob.of(content)
    view = replace(VIEW, kind=kind, media_type=media_type, content=blob.digest)
    return artifact_of(view, NOW, {blob.digest: content})


@pytest.mark.parametrize(
    "content",
    [
        b"no json", b"[" * 100_000, b"7", b"null", b'{"columns": 1, "rows": []}', b'{"columns": [], "rows": 7}', b"\xff\xfe",
        b'{"url": 7}', b'{"url": "javascript:alert(1)"}', b'{"url": "https://[x"}', b'{"url": "https://x", "text": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_not_of_its_kind_is_shown_as_text(content: bytes) -> None:
    for kind in ("table", "link", "image"):
        made = shown(kind, content)
        assert made.table is None
        assert made.link is None
        assert made.text == content.decode("utf-8", "replace")


def test_a_table_is_cut_and_says_so() -> None:
    rows = [[n, None, {"a": 1}, "x"] for n in range(1000)]
    made = shown("table", json.dumps({"columns": ["n", "b"], "rows": [*rows, 7]}).encode())
    assert made.table is not None
    assert len(made.table.rows) == 200
    assert made.table.rows[3] == ("3", "")
    assert made.table.rest.startswith("801 more rows")


def test_half_of_a_pair_in_a_table_or_a_link_can_be_sent() -> None:
    made = shown("table", rb'{"columns": ["\ud800"], "rows": [["\udfff"]]}')
    assert made.table is not None
    assert (made.table.columns, made.table.rows) == (("?",), (("?",),))
    assert shown("link", rb'{"url": "https://x.example", "text": "\ud800"}').link is not None


def test_withheld_and_erased_are_two_things() -> None:
    assert "Withheld" in artifact_of(VIEW, NOW, {}).missing
    assert "erased" in artifact_of(replace(VIEW, content=b"d" * 32), NOW, {}).missing
    assert artifact_of(replace(VIEW, kind="progress", percent=0.0), NOW, {}).missing == ""


def series(points: list[Point], *, stepped: bool = False) -> Series:
    values = [point.value for point in points]
    return Series(
        b"s" * 16, "loss", "", 1, len(points), len(points), min(values, default=None), max(values, default=None),
        values[-1] if values else None, stepped,
    )  # fmt: skip


@given(
    st.lists(
        st.builds(
            Point,
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(0, 221_845_392_000_000_000),
            st.integers(0, 2**53),
        ),
        max_size=20,
    ),
    st.booleans(),
)
def test_any_points_lie_in_the_chart(points: list[Point], stepped: bool) -> None:
    made = chart_of(series(points, stepped=stepped), points)
    places = made.path.removeprefix("M").split("L") if made.path else []
    for place in places:
        x, y = map(int, place.split())
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert bool(made.alone) == (len(points) == 1)


def test_numbers_are_short() -> None:
    assert [number(v) for v in (None, 0.00333333, 48112.4, 1e300, -7.0)] == [
        "", "0.003333", "48,112", "1e+300", "-7",
    ]  # fmt: skip
