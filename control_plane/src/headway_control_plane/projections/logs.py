"""Lines of an attempt's output. They lie in compressed chunks beside the log; a page reads a bounded number of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import zstandard
from sqlalchemy import Select, func, select

from headway_control_plane.application.json_values import read_foreign
from headway_control_plane.db.pool import Connection
from headway_control_plane.db.tables import log_chunk
from headway_control_plane.projections.reading import fetch

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Of one page. Chunks come from agents, so their unpacked size is not trusted either.
CHUNKS_OF_A_PAGE = 64
UNPACKED_MAX = 16 * 1024 * 1024
_LATEST_US = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `source` is stdout, stderr, log, or headway for a marker of ours."""

    line: int
    at: datetime | None
    source: str
    level: str
    call: str
    text: str


@dataclass(frozen=True, slots=True)
class LogFilter:
    """`level` is the least severe one shown; output that has no level counts as INFO. `text` is searched without case; `calls` are keys
    of calls as lines bear them, and None shows the lines of all.
    """

    level: str | None = None
    text: str | None = None
    calls: frozenset[str] | None = None

    def admits(self, line: LogLine) -> bool:
        if self.level is not None and _rank(line.level) < _rank(self.level):
            return False
        if self.calls is not None and line.call not in self.calls:
            return False
        return self.text is None or self.text.casefold() in line.text.casefold()


@dataclass(frozen=True, slots=True)
class LogPage:
    """`last_line` goes into `after_line` for what follows; `more` says whether something is there already."""

    lines: tuple[LogLine, ...]
    last_line: int
    more: bool


@dataclass(frozen=True, slots=True)
class _Chunk:
    first_line: int
    lines: int
    content: bytes


async def read_lines(
    connection: Connection,
    ws: int,
    run: UUID,
    fence: int,
    *,
    after_line: int = 0,
    limit: int = 500,
    wanted: LogFilter | None = None,
) -> LogPage:
    """Return lines behind `after_line`. With a filter a page may be short and still have more behind it."""
    chunks = [
        _chunk(row) for row in await fetch(connection, _chunks_from(ws, run, fence, after_line))
    ]
    return await asyncio.to_thread(_collect, chunks, after_line, limit, wanted or LogFilter())


async def read_tail(
    connection: Connection, ws: int, run: UUID, fence: int, *, limit: int = 20
) -> LogPage:
    """Return the last lines; of very small chunks fewer than asked for."""
    rows = await fetch(connection, _last_chunks(ws, run, fence, limit))
    chunks = [_chunk(row) for row in reversed(rows)]
    if not chunks:
        return LogPage((), 0, more=False)
    last = chunks[-1].first_line + chunks[-1].lines - 1
    after = max(last - limit, chunks[0].first_line - 1)
    return await asyncio.to_thread(_collect, chunks, after, limit, LogFilter())


def _chunks_from(ws: int, run: UUID, fence: int, after_line: int) -> Select[Any]:
    of_attempt = (log_chunk.c.ws == ws, log_chunk.c.run == run, log_chunk.c.fence == fence)
    # The chunk that holds the next line begins at or before it.
    holding = (
        select(log_chunk.c.first_line)
        .where(*of_attempt, log_chunk.c.first_line <= after_line + 1)
        .order_by(log_chunk.c.first_line.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(log_chunk.c.first_line, log_chunk.c.lines, log_chunk.c.bytes)
        .where(*of_attempt, log_chunk.c.first_line >= func.coalesce(holding, 0))
        .order_by(log_chunk.c.first_line)
        .limit(CHUNKS_OF_A_PAGE)
    )


def _last_chunks(ws: int, run: UUID, fence: int, lines: int) -> Select[Any]:
    """The chunks that hold the last lines, the newest first."""
    of_attempt = (log_chunk.c.ws == ws, log_chunk.c.run == run, log_chunk.c.fence == fence)
    other = log_chunk.alias("other")
    of_other = (other.c.ws == ws, other.c.run == run, other.c.fence == fence)
    newest = (
        select(other.c.first_line + other.c.lines - lines)
        .where(*of_other)
        .order_by(other.c.first_line.desc())
        .limit(1)
        .scalar_subquery()
    )
    holding = (
        select(other.c.first_line)
        .where(*of_other, other.c.first_line <= newest)
        .order_by(other.c.first_line.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(log_chunk.c.first_line, log_chunk.c.lines, log_chunk.c.bytes)
        .where(*of_attempt, log_chunk.c.first_line >= func.coalesce(holding, 0))
        .order_by(log_chunk.c.first_line.desc())
        .limit(CHUNKS_OF_A_PAGE)
    )


def _chunk(row: Mapping[str, Any]) -> _Chunk:
    return _Chunk(row["first_line"], row["lines"], row["bytes"])


def _collect(chunks: list[_Chunk], after_line: int, limit: int, wanted: LogFilter) -> LogPage:
    kept: list[LogLine] = []
    last = after_line
    for line in _lines_of(chunks, after_line):
        if len(kept) == limit:
            return LogPage(tuple(kept), last, more=True)
        last = max(last, line.line)
        if wanted.admits(line):
            kept.append(line)
    if chunks:
        last = max(last, chunks[-1].first_line + chunks[-1].lines - 1)
    return LogPage(tuple(kept), last, more=len(chunks) == CHUNKS_OF_A_PAGE)


def _lines_of(chunks: Iterable[_Chunk], after_line: int) -> Iterator[LogLine]:
    expected = after_line + 1
    for chunk in chunks:
        if chunk.first_line > expected:
            missing = chunk.first_line - expected
            yield _marker(chunk.first_line - 1, f"[{missing:,} lines before this are missing]")
        for line in _unpack(chunk):
            if line.line >= expected:
                yield line
        expected = max(expected, chunk.first_line + chunk.lines)


def _unpack(chunk: _Chunk) -> Iterator[LogLine]:
    try:
        with zstandard.ZstdDecompressor().stream_reader(chunk.content) as reader:
            unpacked = reader.read(UNPACKED_MAX + 1)
        if len(unpacked) > UNPACKED_MAX:
            yield _marker(chunk.first_line, f"[{chunk.lines:,} lines are too large to show]")
            return
        rows = [read_foreign(line) for line in unpacked.splitlines() if line]
    except (zstandard.ZstdError, ValueError):
        yield _marker(chunk.first_line, f"[{chunk.lines:,} lines cannot be read]")
        return
    for number, row in enumerate(rows, start=chunk.first_line):
        yield _line(row, number)


def _line(row: Any, number: int) -> LogLine:
    if not isinstance(row, dict):
        return _marker(number, "[line cannot be read]")
    at = row.get("at_us")
    return LogLine(
        line=number,
        at=_instant(at),
        source=str(row.get("source") or ""),
        level=str(row.get("level") or ""),
        call=str(row.get("call") or ""),
        text=str(row.get("text") or ""),
    )


def _instant(at_us: Any) -> datetime | None:
    """Return the instant, None for what is none or lies beyond any calendar: agents send it."""
    if not isinstance(at_us, int) or not 0 <= at_us < _LATEST_US:
        return None
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def _marker(line: int, text: str) -> LogLine:
    return LogLine(line, None, "headway", "WARNING", "", text)


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("INFO")
