"""A run while it happens, on a terminal: one card that is drawn again and again."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headway.cli import run_text, text
from headway.cli.output import with_glyph
from headway.cli.progress import Progress
from headway.clock import now_us

_SHOWN_LINES = 8
_SHOWN_CALLS = 5


def watch_live(snapshots: Iterable[Progress], console: Console) -> Mapping[str, Any]:
    """Redraw the card until the run has ended; leave its last picture on the screen. Returns the run."""
    recent: deque[str] = deque(maxlen=_SHOWN_LINES)
    run: Mapping[str, Any] = {}
    with Live(console=console, auto_refresh=False, transient=False) as live:
        for snapshot in snapshots:
            run = snapshot.run
            recent.extend(map(run_text.log_line, snapshot.new_lines[-_SHOWN_LINES:]))
            live.update(draw(snapshot, recent, moment()), refresh=True)
    return run


def draw(snapshot: Progress, recent: Iterable[str], now: datetime) -> RenderableType:
    """The card: what it is, why it is so, how far it has come, what runs, what it said last."""
    run = snapshot.run
    parts: list[RenderableType] = [_head(run), _reason(snapshot)]
    if run["tasks"]["total"]:
        parts.append(_bar(run["tasks"]))
    parts += [
        Text(f"  {with_glyph(status)} {words}", style="cyan", no_wrap=True, overflow="ellipsis")
        for status, words in run_text.call_lines(snapshot.open_calls, now)[:_SHOWN_CALLS]
    ]
    lines = list(recent)
    if lines:
        parts.append(Text())
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
    return Group(*parts)


def moment() -> datetime:
    return datetime.fromtimestamp(now_us() / 1_000_000, UTC)


def _head(run: Mapping[str, Any]) -> Text:
    style = text.STYLES.get(run["state"], "")
    return Text.assemble(
        (with_glyph(run["state"]), f"bold {style}"),
        "  ",
        (text.printable(run["flow"]), "bold"),
        f" · {text.printable(run['deployment']['name'])}  ",
        (text.printable(run["name"]), "dim"),
        f"  {text.duration(run['duration_us'])}" if run["started_at"] else "",
    )


def _reason(snapshot: Progress) -> Text:
    if not snapshot.connected:
        return Text("connection lost; the run goes on, trying again", style="yellow")
    # A run that has completed needs no reason.
    return Text(text.printable(snapshot.run["reason_text"]) or snapshot.run["id"], style="dim")


def _bar(sums: Mapping[str, int]) -> RenderableType:
    done = sums["completed"] + sums["skipped"]
    ended = done + sums["failed"] + sums["cancelled"] + sums["interrupted"]
    grid = Table.grid(padding=(0, 1))
    counts = Text(f"{text.tasks(sums)} tasks")
    open_calls = sums["running"] + sums["retrying"]
    if open_calls:
        counts.append(f", {open_calls} running", style="cyan")
    grid.add_row(
        ProgressBar(
            total=sums["total"],
            completed=ended,
            width=30,
            complete_style="red" if sums["failed"] else "green",
            finished_style="red" if sums["failed"] else "green",
        ),
        counts,
    )
    return grid
