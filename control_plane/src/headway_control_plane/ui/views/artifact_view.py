"""Artifacts as pages show them: a line of a list, or the thing itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup

from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.projections.artifacts import ArtifactView
from headway_control_plane.ui import words
from headway_control_plane.ui.views.markdown import MOST_MARKDOWN, to_html
from headway_control_plane.ui.views.parts import artifact_href

ROWS_SHOWN = 200
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
WITHHELD = (
    "Withheld by the pool: its permits do not name artifact, so the content stayed in your network."
)
ERASED = "The content was erased."
_REST = "Its beginning; all of it: headway artifacts show"


@dataclass(frozen=True, slots=True)
class Table:
    """A table's beginning; `rest` says what is not shown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rest: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """One artifact. At most one of `html`, `table`, `link`, `image`, `text` is there; `missing` says why none is,
    and `rest` where all of it is.
    """

    id: str
    href: str
    kind: str
    key: str
    number: int
    latest: bool
    description: str
    saved: words.Moment
    run: str
    run_name: str
    size: str
    percent: float | None
    missing: str = ""
    html: Markup | None = None
    table: Table | None = None
    link: tuple[str, str] | None = None
    image: str = ""
    text: str = ""
    rest: str = ""

    @property
    def title(self) -> str:
        return self.key or self.description or self.kind


def artifact_of(
    view: ArtifactView, now: datetime, contents: Mapping[bytes, bytes] | None = None
) -> Artifact:
    """Shape an artifact; without `contents` as a line of a list."""
    page = f"{artifact_href(view.key)}?version={view.number}"
    percent = "" if view.percent is None else f"{view.percent:g} %"
    return Artifact(
        id=view.id.hex(),
        href=page if view.key else f"/runs/{view.run}#a-{view.id.hex()}",
        kind=view.kind or "of another kind",
        key=view.key,
        number=view.number,
        latest=view.latest,
        description=view.text,
        saved=words.moment(view.updated_at, now),
        run=f"/runs/{view.run}",
        run_name=words.short_id(str(view.run)),
        size=percent or (words.size(view.size_bytes) if view.size_bytes else ""),
        percent=view.percent,
        **({} if contents is None else _content(view, contents)),
    )


def _content(view: ArtifactView, contents: Mapping[bytes, bytes]) -> dict[str, Any]:
    if view.withheld:
        return {"missing": WITHHELD}
    if view.kind == "progress":
        return {}
    raw = contents.get(view.content)
    if raw is None:
        return {"missing": ERASED}
    if view.media_type in IMAGES:
        return {"image": f"/ui/runs/{view.run}/artifacts/{view.id.hex()}"}
    text = raw.decode("utf-8", "replace")
    if view.media_type == "text/markdown":
        cut = {"rest": _REST} if len(text) > MOST_MARKDOWN else {}
        return {"html": to_html(text[:MOST_MARKDOWN]), **cut}
    return _of_json(view, text)


def _of_json(view: ArtifactView, text: str) -> dict[str, Any]:
    """What agents send is not trusted: what is not of its kind is shown as text."""
    try:
        told = read_foreign(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        if view.kind == "table" and (table := _table(told)) is not None:
            return {"table": table}
        if view.kind in {"link", "image"} and (href := _address(told.get("url"))):
            words_of = told.get("text")
            return {"link": (href, words_of if isinstance(words_of, str) and words_of else href)}
    return {"text": text}


def _table(told: Mapping[str, Any]) -> Table | None:
    columns, rows = told.get("columns"), told.get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return None
    shown = [row for row in rows[:ROWS_SHOWN] if isinstance(row, list)]
    rest = len(rows) - len(shown)
    return Table(
        tuple(map(_cell, columns)),
        tuple(tuple(map(_cell, row[: len(columns)])) for row in shown),
        f"{words.plural(rest, 'more row')}: headway artifacts show" if rest else "",
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _address(url: Any) -> str:
    if not isinstance(url, str):
        return ""
    try:
        return url if urlsplit(url).scheme in {"http", "https"} else ""
    except ValueError:
        return ""
