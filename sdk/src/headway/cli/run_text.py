"""A run in words: rows of lists, the card of one run, the line that ends a wait."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from headway.cli import text
from headway.cli.output import Cell, State
from headway.cli.schema_text import kind_words

HEADS = ("run", "state", "flow", "name", "reason", "created", "took", "tasks")
_SHORTEST = 13  # the digits of an id that hold its millisecond


def rows(runs: Sequence[Mapping[str, Any]], now: datetime) -> list[list[Cell]]:
    """One row a run. Ids are cut to what tells them apart; such a beginning is accepted by every verb."""
    ids = shorten([run["id"] for run in runs])
    return [
        [
            short,
            State(run["state"]),
            text.printable(run["flow"]),
            text.printable(run["name"]),
            text.printable(run["reason_text"]) or "-",
            text.age(run["created_at"], now),
            text.duration(run["duration_us"]),
            text.tasks(run["tasks"]),
        ]
        for short, run in zip(ids, runs, strict=True)
    ]


def shorten(ids: Sequence[str]) -> list[str]:
    """Return the shortest beginnings, not below the time part, that are all different."""
    length = _SHORTEST
    while length < 36 and len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return [each[:length].rstrip("-") for each in ids]


def card(run: Mapping[str, Any], now: datetime) -> list[tuple[str, Cell]]:
    """Everything about one run, field by field."""
    fields: list[tuple[str, Cell]] = [
        ("run", run["id"]),
        ("state", State(run["state"])),
        ("reason", text.printable(run["reason_text"]) or "-"),
        ("name", text.printable(run["name"])),
        ("flow", text.printable(f"{run['flow']} · {run['deployment']['name']}")),
        *_version(run),
        ("pool", run["pool"]["name"]),
        ("agent", run["agent"]["name"] if run["agent"] else "-"),
        (
            "attempt",
            f"{run['attempt']} ({run['attempts_failed']} failed, {run['retries']} retries)",
        ),
        ("tasks", _sums(run["tasks"])),
        ("tags", ", ".join(map(text.printable, run["tags"])) or "-"),
        ("priority", str(run["priority"])),
        ("created", _instant(run["created_at"], now)),
        ("due", _instant(run["due_at"], now)),
        ("started", _instant(run["started_at"], now)),
        ("ended", _instant(run["ended_at"], now)),
        ("took", text.duration(run["duration_us"])),
        ("parameters", _parameters(run["parameters"])),
        *_line(run),
    ]
    return [*fields, *_result(run.get("result"))]


def _version(run: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    """Of the flow that it was made with, where that says one; an older control plane knows none."""
    version = run.get("flow_version")
    return [("flow version", text.printable(version))] if version else []


def error_lines(error: Mapping[str, Any] | None) -> list[str]:
    """What was raised: the class and message, then the user's own frames."""
    if error is None:
        return []
    message = error["message"]
    told = text.printable(message.splitlines()[0]) if message else "(message withheld by the pool)"
    lines = [f"{text.printable(error['class'])}: {told}"]
    frames = error["traceback"] or []
    own = [frame for frame in frames if frame.get("user")] or frames
    for frame in own[-5:]:
        place = f"  {frame.get('file')}:{frame.get('line')} in {frame.get('function')}"
        lines.append(text.printable(place))
        if frame.get("code"):
            lines.append(f"    {text.printable(str(frame['code']))}")
    return lines


def verdict(run: Mapping[str, Any]) -> str:
    """The line that ends a wait: the state, how long it took, why, how many tasks."""
    tasks = tasks_words(run["tasks"])
    if tasks and run.get("tasks_behind"):
        tasks += " so far: counting goes on"
    reason = f": {text.printable(run['reason_text'])}" if run["reason_text"] else ""
    took = f" after {text.duration(run['duration_us'])}" if run["started_at"] else ""
    return f"{run['state']}{took}{reason}" + (f" · {tasks}" if tasks else "")


def tasks_words(sums: Mapping[str, int]) -> str:
    """`264/271 tasks, 2 failed`; empty while there are none."""
    if not sums["total"]:
        return ""
    failed = f", {sums['failed']} failed" if sums["failed"] else ""
    return f"{sums['completed'] + sums['skipped']}/{sums['total']} tasks{failed}"


def result_lines(run: Mapping[str, Any]) -> list[str]:
    """What the run returned, as far as the pool lets it out; nothing for a run that returned nothing."""
    return [
        f"returned {shown}"
        for _, shown in _result(run.get("result"))
        if isinstance(shown, str) and shown != "null"
    ]


def next_step(run: Mapping[str, Any]) -> str:
    """What a person does after this end; empty when there is nothing to do."""
    match run["state"]:
        case "failed" if run["reason"] == "refused":
            return f"put that right, deploy again if it moved, then: headway run {run['deployment']['name']}"
        case "failed" | "crashed":
            return f"headway runs logs {run['id']}, then: headway runs resume {run['id']}"
        case "paused" | "running" if run["reason"] == "input":
            return f"headway runs input {run['id']}"
        case "paused" if run["reason"] == "run":
            return f"headway runs ls --parent {run['id']}"
        case "paused" if run["reason"] in {"sleeping", "event"}:
            return ""
        case "paused":
            return f"headway runs release {run['id']}"
        case "scheduled" if run["reason"] == "agent away":
            return f"start that agent again, or execute everything anew: headway runs release --anywhere {run['id']}"
        case "scheduled" if run["reason"] == "no agent":
            return f"start an agent for the pool: headway agent start --pool {run['pool']['name']}"
        case _:
            return ""


def without_journal(run: Mapping[str, Any]) -> str:
    """What is executed again when a run no longer waits for the agent that has its journal."""
    done = run["tasks"]["completed"] + run["tasks"]["skipped"]
    also = f", the {done:,} call{'s' if done > 1 else ''} that ended well too" if done else ""
    return (
        f"Agent {run['home']['name']} has the journal of run {run['id']}. Another agent executes everything again{also}: artifacts, metrics and "
        "events are told again, and people are asked again what they answered. Runs that it started are found, not started again; where agents "
        "share a cache, what tasks have there is used. A store of results alone changes nothing."
    )


def question(wait: Mapping[str, Any]) -> str:
    """What a person is asked, what the answer must be, and why the one before was none."""
    name = text.printable(wait["name"])
    title = text.printable(wait["title"]) or name or "The run waits for an answer."
    notes = [name] * bool(name) + [f"until {wait['until']}"] * bool(wait["until"])
    head = f"{title}{' (answered)' if wait['answered'] else ''}"
    lines = [f"{head}  [{', '.join(notes)}]" if notes else head]
    lines += [f"  not accepted: {text.printable(each)}" for each in wait.get("problems") or ()]
    if wait["schema"] is None:
        lines.append("  what it must be is withheld by the pool; VALUE is JSON, or -p name=value")
    return "\n".join([*lines, *_fields_of(wait["schema"] or {})])


def _fields_of(schema: Mapping[str, Any]) -> Iterator[str]:
    definitions = schema.get("$defs")
    fields = schema.get("properties") or {}
    for name, field in fields.items():
        needed = ", required" if name in schema.get("required", ()) else ""
        yield f"  -p {text.printable(name)}=...  {kind_words(field, definitions)}{needed}"
    if schema and not fields:
        yield f"  VALUE  {kind_words(schema, definitions)}, as JSON"


def log_line(line: Mapping[str, Any]) -> str:
    """One line of output: time, level where it says something, text."""
    level = line["level"] if line["level"] not in ("", "INFO") else ""
    head = f"{text.clock(line['at'])} {level:<8}" if level else text.clock(line["at"])
    return f"{head} {text.printable(line['text'])}".rstrip()


def call_lines(calls: Sequence[Mapping[str, Any]], now: datetime) -> list[tuple[str, str]]:
    """One line for all open calls of a name and status: the status, then the name, how many, the longest, which try."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for call in calls:
        tries = f"try {call['tries'] + 1}" if call["status"] == "retrying" else ""
        took = now - text.parse_time(call["started_at"])
        key = (call["status"], call["name"], tries)
        groups.setdefault(key, []).append(int(took.total_seconds() * 1_000_000))
    lines = []
    for (status, name, tries), lengths in groups.items():
        many = f" x{len(lengths)}" if len(lengths) > 1 else ""
        shown = text.printable(name) or "(name withheld)"
        words = [f"{shown}{many}", text.duration(max(lengths)), tries]
        lines.append((status, "  ".join(word for word in words if word)))
    return lines


def _line(run: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    """The run that started it, those that it was made from and that were made from it."""
    made, parent = run.get("forked_from"), run.get("parent_run")
    fields: list[tuple[str, Cell]] = [("parent", parent)] if parent else []
    if made:
        fields.append(("made from", f"{made['run']} ({made['verb']})"))
    forks = [f"{fork['run']} ({fork['verb']})" for fork in run.get("forks", ())]
    if forks:
        fields.append(("continued by", ", ".join(forks)))
    return [*fields, *(("refused", _refused(each)) for each in run.get("refused_runs", ()))]


def _refused(refused: Mapping[str, Any]) -> str:
    """Why there is no run that its flow has asked for, and what to do."""
    wrong = f" ({', '.join(refused['problems'])})" if refused["problems"] else ""
    named = refused["deployment"] or "a deployment"
    said = f"no run of {named}: {refused['message'] or refused['code']}{wrong} {refused['hint']}"
    return text.printable(said.strip())


def _sums(sums: Mapping[str, int]) -> str:
    told = [f"{count} {name}" for name, count in sums.items() if name != "total" and count]
    return f"{sums['total']} ({', '.join(told)})" if told else "-"


def _instant(at: str | None, now: datetime) -> str:
    return f"{at}  ({text.age(at, now)})" if at else "-"


def _parameters(parameters: Mapping[str, Any] | None) -> str:
    if parameters is None:
        return "(withheld)"
    pairs: Iterable[str] = (f"{name}={value!r}" for name, value in parameters.items())
    return text.printable(", ".join(pairs)) or "-"


def _result(result: Mapping[str, Any] | None) -> list[tuple[str, Cell]]:
    if result is None:
        return []
    preview = result["preview"]
    digest = f" sha256 {result['digest']}" if result["digest"] else ""
    shown = text.printable(preview) if preview is not None else f"(withheld){digest}"
    return [("result", shown)]
