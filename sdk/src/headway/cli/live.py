"""A run while it happens: one moving card on a terminal, plain lines in a pipe."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headway.cli import run_text, text
from headway.cli.output import State, styled, with_glyph
from headway.cli.progress import Progress
from headway.clock import now_us

_SHOWN_LINES = 8


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


def watch_plain(snapshots: Iterable[Progress]) -> Mapping[str, Any]:
    """Print what happens as lines: events of the run, lines of output. Returns the run."""
    run: Mapping[str, Any] = {}
    for snapshot in snapshots:
        run = snapshot.run
        for line in merged(snapshot):
            click.echo(line)
    return run


def merged(snapshot: Progress) -> Iterator[str]:
    """Events of the run's life and lines of output, by time."""
    told = [
        (event["occurred_at"], f"{text.clock(event['occurred_at'])} * {_told(event)}")
        for event in snapshot.new_events
        if event["type"] in _WORDS
    ]
    told += [(line["at"] or "", run_text.log_line(line)) for line in snapshot.new_lines]
    return (line for _, line in sorted(told, key=lambda item: item[0]))


def draw(snapshot: Progress, recent: Iterable[str], now: datetime) -> RenderableType:
    """The card: what it is, why it is so, how far it has come, what runs, what it said last."""
    run = snapshot.run
    parts: list[RenderableType] = [_head(run), _reason(snapshot)]
    if run["tasks"]["total"]:
        parts.append(_bar(run["tasks"]))
    parts += [
        Text(f"  {with_glyph(task['status'])} {run_text.call_line(task, now)}", style="cyan")
        for task in snapshot.open_calls
    ]
    lines = list(recent)
    if lines:
        parts.append(Text())
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
    return Group(*parts)


def moment() -> datetime:
    return datetime.fromtimestamp(now_us() / 1_000_000, UTC)


def verdict_line(run: Mapping[str, Any]) -> str:
    """The coloured line that ends a wait."""
    return f"{styled(State(run['state']))}{run_text.verdict(run).removeprefix(run['state'])}"


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
    return Text(text.printable(snapshot.run["reason_text"]), style="dim")


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


# The other events of an attempt say the same a second time.
_WORDS = {
    "RunCreated": "accepted",
    "RunGranted": "given to an agent (attempt {fence})",
    "RunReattached": "taken up again by its agent (attempt {fence})",
    "RunStarted": "started (attempt {fence})",
    "RunRescheduled": "runs again: {cause}",
    "RunPaused": "paused: {reason}",
    "RunResumed": "released",
    "RunCancelRequested": "cancel requested",
    "RunCompleted": "completed",
    "RunFailed": "failed: {cause}",
    "RunCrashed": "crashed: {cause}",
    "RunCancelled": "cancelled: {evidence}",
    "CallStarted": "{kind} {name} started",
    "CallRetrying": "{kind} {name} failed (try {try}), tries again",
    "CallEnded": "{kind} {name} {outcome}",
}


def _told(event: Mapping[str, Any]) -> str:
    return text.printable(_WORDS[event["type"]].format_map(_Given(event["data"])))


class _Given(dict[str, Any]):
    """Fields of an event; a withheld one leaves a gap, not an error."""

    def __missing__(self, key: str) -> str:
        return f"({key} withheld)" if key == "name" else ""
