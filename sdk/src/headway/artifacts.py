"""What a run leaves for people to look at: texts, tables, links, images, progress.

Each is saved once over all attempts of a run. Under a `key`, each is a new version in the workspace. In a flow that is called
directly, outside a run, they are checked and go nowhere.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from headway.context import Call, current_call
from headway.errors import OutputRefused
from headway.outputs import MOST_CONTENT, clean_text, key_problem

MOST_DESCRIPTION = 1000
MOST_URL = 2000
MOST_COLUMNS = 200
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

Row = Mapping[str, Any] | Sequence[Any]
Table = Sequence[Row] | Mapping[str, Sequence[Any]]


class ArtifactSpec(NamedTuple):
    """An artifact as it is saved: `content` of `media_type`, or the `percent` of a progress."""

    kind: str
    key: str
    description: str
    media_type: str
    content: bytes
    percent: float | None = None


def markdown(text: str, *, key: str = "", description: str = "") -> None:
    """Saves a text in Markdown (CommonMark with tables).

    Args:
        text: At most 256 KiB. HTML in it is shown as text; its images are shown as links.
        key: Names it over all runs, as `sales-report`: each time that something is saved under it is a new version. Lower-case
            letters, digits and `-`, at most 100. Empty: it belongs to this run alone.
        description: One line beside it, at most 1,000 characters.

    Raises:
        OutputRefused: Too large, or a wrong key; the message says what to do.
    """
    if not isinstance(text, str):
        raise OutputRefused(f"markdown takes a text, not {type(text).__name__}")
    _save("markdown", key, description, "text/markdown", clean_text(text).encode())


def table(rows: Table, *, key: str = "", description: str = "") -> None:
    """Saves a table.

    Args:
        rows: Rows as dicts by column, or as lists of which the first holds the column names; or a dict of columns. A data frame
            goes as `frame.to_dict("list")`. At most 200 columns, and 256 KiB as JSON. Cells that JSON has no form for are shown
            as `str` makes them.
        key: As for `markdown`.
        description: As for `markdown`.

    Raises:
        OutputRefused: Too large, no table, or a wrong key.
    """
    columns, cells = _table(rows)
    if len(columns) > MOST_COLUMNS:
        raise OutputRefused(
            f"the table has {len(columns)} columns, the most is {MOST_COLUMNS}: save a part of it"
        )
    content = {"columns": columns, "rows": [[_cell(cell) for cell in row] for row in cells]}
    _save("table", key, description, "application/json", _json(content))


def link(url: str, *, text: str = "", key: str = "", description: str = "") -> None:
    """Saves a link. `url`: http or https, at most 2,000 characters. `text`: what it reads; the address without one.

    Raises:
        OutputRefused: No such address, or a wrong key.
    """
    content = {"url": _url(url), "text": clean_text(str(text))[:MOST_DESCRIPTION]}
    _save("link", key, description, "application/json", _json(content))


def image(source: str | bytes | Path, *, key: str = "", description: str = "") -> None:
    """Saves an image.

    Args:
        source: The bytes of a PNG, JPEG, GIF or WebP, or the path of such a file; at most 256 KiB. Or an http(s) address, which
            pages show as a link: they load nothing from other hosts. SVG is refused, for it can hold scripts.
        key: As for `markdown`.
        description: As for `markdown`; read aloud in the place of the image.

    Raises:
        OutputRefused: Too large, no such image, or a wrong key.
        OSError: The file cannot be read.
    """
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        content = {"url": _url(source)}
        _save("image", key, description, "application/json", _json(content))
        return
    raw = source if isinstance(source, bytes) else _read(Path(source))
    _save("image", key, description, _media_type(raw), raw)


class Progress:
    """A progress that was saved; `update` moves it on."""

    def __init__(self, call: Call | None, artifact: str) -> None:
        self._call = call
        self._id = artifact

    def update(self, percent: float) -> None:
        """Moves it to 0 to 100. Any number of times: pages get the newest value a few times a second, and always the last."""
        value = _percent(percent)
        if self._call is not None:
            self._call.engine.move_progress(self._call, self._id, value)


def progress(percent: float = 0.0, *, key: str = "", description: str = "") -> Progress:
    """Shows a progress bar on the run's page; `.update(percent)` moves it.

    Args:
        percent: 0 to 100.
        key: As for `markdown`.
        description: What makes progress, shown beside the bar.

    Raises:
        OutputRefused: No number from 0 to 100, or a wrong key.
    """
    spec = _spec("progress", key, description, "", b"")._replace(percent=_percent(percent))
    call = current_call()
    return Progress(call, call.engine.save_artifact(call, spec) if call is not None else "")


def _save(kind: str, key: str, description: str, media_type: str, content: bytes) -> None:
    spec = _spec(kind, key, description, media_type, content)
    call = current_call()
    if call is not None:
        call.engine.save_artifact(call, spec)


def _spec(kind: str, key: str, description: str, media_type: str, content: bytes) -> ArtifactSpec:
    if problem := key_problem(key):
        raise OutputRefused(f"the key of an artifact {problem}, not {key!r}")
    if not _is_description(description):
        raise OutputRefused(
            f"the description of an artifact is a text of at most {MOST_DESCRIPTION} characters"
        )
    if len(content) > MOST_CONTENT:
        raise OutputRefused(
            f"this {kind} has {len(content):,} bytes, the most is {MOST_CONTENT:,}: save a part of it, or store it "
            "where your data is and save a link to it (headway.artifacts.link)"
        )
    return ArtifactSpec(kind, key, clean_text(description), media_type, content)


def _is_description(text: object) -> bool:
    return isinstance(text, str) and len(text) <= MOST_DESCRIPTION


def _percent(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (math.isfinite(value) and 0 <= value <= 100)
    ):
        raise OutputRefused(f"a progress is a number from 0 to 100, not {value!r}")
    return float(value)


def _url(url: object) -> str:
    if isinstance(url, str) and len(url) <= MOST_URL and url.isprintable() and " " not in url:
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme in ("http", "https") and parts.netloc:
            return clean_text(url)
    raise OutputRefused(
        f"a link is an http or https address of at most {MOST_URL} characters, not {str(url)[:100]!r}"
    )


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_CONTENT:
        raise OutputRefused(
            f"{path} has {path.stat().st_size:,} bytes, the most is {MOST_CONTENT:,}: save it smaller, or store it "
            "where your data is and save a link to it (headway.artifacts.link)"
        )
    return path.read_bytes()


def _media_type(raw: bytes) -> str:
    for signature, media_type in _SIGNATURES:
        if raw.startswith(signature):
            return media_type
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "image/webp"
    raise OutputRefused(
        "an image is a PNG, JPEG, GIF or WebP; save others, and SVG, as one of these (most plot libraries can)"
    )


def _table(rows: object) -> tuple[list[str], list[Sequence[Any]]]:
    """Column names and rows of cells."""
    if isinstance(rows, Mapping):
        return _by_columns(rows)
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise OutputRefused(
            f"a table is a list of dicts, a list of lists, or a dict of lists, not {type(rows).__name__}"
        )
    if all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return list(map(_name, names)), [[row.get(name) for name in names] for row in rows]
    if any(isinstance(row, Mapping | str | bytes) or not isinstance(row, Sequence) for row in rows):
        raise OutputRefused("the rows of a table are all dicts or all lists")
    columns = list(map(_name, rows[0]))
    if any(len(row) != len(columns) for row in rows):
        raise OutputRefused("all rows of a table have as many cells as its first, the column names")
    return columns, list(rows[1:])


def _by_columns(columns: Mapping[Any, Any]) -> tuple[list[str], list[Sequence[Any]]]:
    values = list(columns.values())
    if any(isinstance(each, str | bytes) or not isinstance(each, Sequence) for each in values):
        raise OutputRefused("a table as a dict has a list for each column")
    if len({len(each) for each in values}) > 1:
        raise OutputRefused("all columns of a table have the same length")
    return list(map(_name, columns)), list(zip(*values, strict=True))


def _name(name: object) -> str:
    return clean_text(str(name))


def _cell(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 53 else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return clean_text(str(value))


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def as_text(spec: ArtifactSpec) -> str:
    """The content as a frame holds it."""
    if spec.media_type.startswith("image/"):
        return base64.b64encode(spec.content).decode()
    return spec.content.decode()
