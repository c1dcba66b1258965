"""Sub-flows in words: rows beside runs, rows of one run, the card of one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headway.cli import run_text, text
from headway.cli.output import Cell, State

HEADS = ("call", "state", "flow", "error", "started", "took", "tries")
_DIGITS = 8


def listed_rows(items: Sequence[Mapping[str, Any]], now: datetime) -> list[list[Cell]]:
    """Runs and their sub-flows, one row each, under the heads of runs; a sub-flow is named RUN/CALL."""
    runs = [item for item in items if item["kind"] == "run"]
    rows = dict(zip((run["id"] for run in runs), run_text.rows(runs, now), strict=True))
    ids = list(dict.fromkeys(item["id"] if item in runs else item["run"]["id"] for item in items))
    short = dict(zip(ids, run_text.shorten(ids), strict=True))
    return [
        [short[item["id"]], *rows[item["id"]][1:]]
        if item["kind"] == "run"
        else _beside(item, short[item["run"]["id"]], now)
        for item in items
    ]


def _beside(item: Mapping[str, Any], run: str, now: datetime) -> list[Cell]:
    error = item["error"]
    return [
        f"{run}/{item['call'][:_DIGITS]}",
        State(item["status"]),
        f"{_name(item)} (sub-flow)",
        text.printable(item["run"]["name"]),
        text.printable(error["class"]) if error else "-",
        text.age(item["started_at"], now),
        text.duration(item["duration_us"]),
        "-",
    ]


def rows(flows: Sequence[Mapping[str, Any]], now: datetime) -> list[list[Cell]]:
    """The sub-flows of one run."""
    digits = _DIGITS
    while digits < 32 and len({flow["call"][:digits] for flow in flows}) < len(flows):
        digits += 1
    return [
        [
            flow["call"][:digits],
            State(flow["status"]),
            _name(flow),
            text.printable(flow["error_class"]) or "-",
            text.age(flow["started_at"], now),
            text.duration(_length(flow)),
            str(flow["tries"]),
        ]
        for flow in flows
    ]


def card(flow: Mapping[str, Any], now: datetime) -> list[tuple[str, Cell]]:
    """Everything about one sub-flow, field by field."""
    capped = "more than " if flow["capped"] else ""
    result = flow["result"]
    fields: list[tuple[str, Cell]] = [
        ("sub-flow", _name(flow)),
        ("state", State(flow["status"])),
        ("call", flow["call"]),
        ("called by", flow["parent"] or "the run's flow"),
        ("run", flow["run"]),
        ("attempt", str(flow["attempt"])),
        ("tasks", capped + (run_text.tasks_words(flow["tasks"]) or "-")),
        ("started", f"{flow['started_at']}  ({text.age(flow['started_at'], now)})"),
        ("ended", flow["ended_at"] or "-"),
        ("took", text.duration(flow["duration_us"])),
    ]
    if result is not None and result["preview"] is not None:
        fields.append(("result", text.printable(result["preview"])))
    return fields


def next_step(flow: Mapping[str, Any]) -> str:
    """What a person does about a sub-flow that went wrong; empty when there is nothing to do."""
    if flow["status"] not in {"failed", "interrupted"}:
        return ""
    names = f"{flow['run']} --call {flow['call'][:12]}"
    retry = f"{flow['run']} {flow['call'][:12]}"
    return f"headway runs logs {names}; once its run has ended: headway runs retry {retry}"


def _name(item: Mapping[str, Any]) -> str:
    return text.printable(item.get("flow") or item.get("name") or "") or "(name withheld)"


def _length(flow: Mapping[str, Any]) -> int | None:
    if flow["ended_at"] is None:
        return None
    length = text.parse_time(flow["ended_at"]) - text.parse_time(flow["started_at"])
    return max(0, int(length.total_seconds() * 1_000_000))
