"""Writes docs/reference from the docstrings of the SDK: one page a topic, in the order that they are learnt in.

python docs/make_reference.py          writes the pages
python docs/make_reference.py --check  fails if a page is not what it would write
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import griffe

FOLDER = Path(__file__).parent / "reference"
_NOTE = "<!-- Made by `make reference` from the docstrings. Change those. -->"
_WIDTH = 100
# Of some classes only a part is for users; what serves the engine is public in Python, and nobody's business.
_MEMBERS: dict[str, tuple[str, ...]] = {
    "Flow": ("name", "fn", "with_options"),
    "Task": ("name", "fn", "submit", "map", "with_options"),
    "Future": ("done", "wait", "result", "exception"),
    "Futures": ("result", "wait"),
    "CachePolicy": (),
    "ChildRun": ("is_final", "is_completed", "result"),
    "Harness": ("run", "crashes", "emit", "secrets", "variables"),
    "Run": ("result", "call", "executions", "again", "answer", "expire"),
    "TaskRunner": (),
    "ThreadRunner": (),
    "ProcessRunner": (),
    "AsyncRunner": (),
}


class Topic(NamedTuple):
    """One page: names of one module."""

    page: str
    title: str
    module: str
    names: tuple[str, ...]
    intro: str = ""


TOPICS = (
    Topic(
        "flows-and-tasks",
        "Flows and tasks",
        "headway",
        (
            "flow",
            "task",
            "Flow",
            "Task",
            "exponential",
            "StateChange",
            "run_context",
            "RunContext",
            "get_run_logger",
        ),
        "Guides: [flows and tasks](../guides/flows-and-tasks.md), [retries and timeouts](../guides/retries-and-timeouts.md).",
    ),
    Topic(
        "concurrency",
        "Concurrency",
        "headway",
        (
            "Future",
            "Futures",
            "wait",
            "as_completed",
            "allow_failure",
            "unmapped",
            "ThreadRunner",
            "ProcessRunner",
            "AsyncRunner",
            "TaskRunner",
        ),
        "Guide: [concurrency](../guides/concurrency.md).",
    ),
    Topic(
        "durable-execution",
        "Durable execution",
        "headway",
        (
            "sleep",
            "sleep_until",
            "wait_for_input",
            "pause",
            "wait_for_event",
            "emit_event",
            "suspend",
            "run_deployment",
            "run_deployment_async",
            "submit_deployment",
            "ChildRun",
        ),
        "Guide: [durable execution](../guides/durable-execution.md).",
    ),
    Topic(
        "what-is-kept",
        "Caching, targets, transactions, codecs",
        "headway",
        (
            "CachePolicy",
            "INPUTS",
            "SOURCE",
            "FLOW_PARAMETERS",
            "FileTarget",
            "TableTarget",
            "transaction",
            "Transaction",
            "TransactionStep",
            "register_codec",
        ),
        "Guides: [caching](../guides/caching.md), [targets](../guides/targets.md), [transactions](../guides/transactions.md).",
    ),
    Topic(
        "secrets-and-variables",
        "Secrets",
        "headway",
        (
            "secret",
            "Secret",
            "redact",
            "SecretProvider",
            "SecretError",
            "SecretNotFound",
            "ShortSecret",
        ),
        "Guide: [secrets and variables](../guides/secrets-and-variables.md).",
    ),
    Topic(
        "variables",
        "Variables",
        "headway.variables",
        ("get", "set", "delete"),
        "Guide: [secrets and variables](../guides/secrets-and-variables.md).",
    ),
    Topic(
        "artifacts",
        "Artifacts",
        "headway.artifacts",
        ("markdown", "table", "link", "image", "progress", "Progress"),
        "Guide: [artifacts and metrics](../guides/artifacts-and-metrics.md).",
    ),
    Topic(
        "metrics",
        "Metrics",
        "headway.metrics",
        ("record",),
        "Guide: [artifacts and metrics](../guides/artifacts-and-metrics.md).",
    ),
    Topic(
        "graphs",
        "Declared graphs",
        "headway.graphs",
        ("dag_flow", "Graph", "Step", "InvalidGraph"),
        "Guide: [declared graphs](../guides/declared-graphs.md). `dag_flow` and `InvalidGraph` are in `headway` too.",
    ),
    Topic(
        "errors",
        "Errors",
        "headway",
        (
            "HeadwayError",
            "Cancelled",
            "Suspended",
            "TimedOut",
            "WaitTimedOut",
            "RunRefused",
            "ChildRunFailed",
            "ResultElsewhere",
            "WorkerDied",
            "UnserializableResult",
            "ResultTooLarge",
            "TargetMissing",
            "WrongTarget",
            "VariableNotFound",
            "VariableRefused",
            "RolledBack",
            "ParameterError",
            "Problem",
            "WrongInput",
            "InvalidOption",
            "NotInFlow",
            "NotInRun",
            "OutputRefused",
            "ForgottenAwait",
            "NotAFlow",
            "EntrypointError",
            "EntrypointNotFound",
        ),
    ),
    Topic(
        "testing",
        "Testing",
        "headway.testing",
        (
            "harness",
            "Harness",
            "Run",
            "CallRecord",
            "AttemptRecord",
            "Clock",
            "LogLine",
            "ArtifactRecord",
            "EventRecord",
            "HarnessError",
        ),
        "Guide: [testing](../guides/testing.md).",
    ),
)
ELSEWHERE = frozenset({"__version__", "dag_flow", "InvalidGraph"})
"""Of `headway.__all__`: what is told on a page of another module, or needs none."""


def pages() -> dict[str, str]:
    """Text of each page, by its file name."""
    logging.getLogger("griffe").setLevel(
        logging.ERROR
    )  # it misses types in docstrings; they stand in the signatures
    made = {f"{topic.page}.md": _page(topic) for topic in TOPICS}
    made["README.md"] = _contents()
    return made


def _contents() -> str:
    lines = [
        _NOTE,
        "",
        "# The Python API",
        "",
        "Made from the docstrings; `help(headway.flow)` in Python says the same.",
        "",
    ]
    lines += ["| | |", "|---|---|"]
    for topic in TOPICS:
        anchors = _anchors(topic.names)
        names = ", ".join(
            f"[`{name}`]({topic.page}.md#{anchor})"
            for name, anchor in zip(topic.names, anchors, strict=True)
        )
        lines.append(f"| [{topic.title}]({topic.page}.md) | {names} |")
    return "\n".join(lines) + "\n"


def _page(topic: Topic) -> str:
    module = importlib.import_module(topic.module)
    parts = [_NOTE, f"# {topic.title}", f"In `{topic.module}`. {topic.intro}".strip()]
    for name in topic.names:
        parts += _entry(name, getattr(module, name), level=2)
    return "\n\n".join(parts) + "\n"


def _entry(name: str, value: Any, *, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{name}`"
    if inspect.isclass(value):
        yield from _class(name, value, level)
        return
    if callable(value):
        yield f"```text\n{_signature(name.rpartition('.')[2], value)}\n```"
        yield from _told(inspect.getdoc(value))
    else:
        yield from _told(_beside(type(value), name) or _assigned(name))


def _class(name: str, kind: type, level: int) -> Iterator[str]:
    if issubclass(kind, BaseException):
        bases = ", ".join(base.__name__ for base in kind.__bases__)
        yield f"A kind of `{bases}`."
    yield from _told(kind.__dict__.get("__doc__"))
    fields = list(_fields(kind))
    if fields:
        yield "\n".join(
            f"- `{field}`: {told}" if told else f"- `{field}`" for field, told in fields
        )
    for member in _members(kind):
        yield from _entry(f"{name}.{member}", getattr(kind, member), level=level + 1)


def _members(kind: type) -> Iterator[str]:
    chosen = _MEMBERS.get(kind.__name__)
    for name, value in vars(kind).items():
        is_shown = name in chosen if chosen is not None else not name.startswith("_")
        if is_shown and inspect.isfunction(value) and value.__doc__:
            yield name


def _fields(kind: type) -> Iterator[tuple[str, str]]:
    """Data of a record, and properties: name and docstring."""
    names: Sequence[str] = getattr(kind, "_fields", ())
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    for name in names:
        yield name, _one_line(_beside(kind, name))
    if kind.__name__ in _MEMBERS:
        return
    for name, value in vars(kind).items():
        if isinstance(value, property) and not name.startswith("_") and value.__doc__:
            yield name, _one_line(value.__doc__)


def _beside(kind: type, name: str) -> str:
    """The docstring below an attribute of a class, which Python does not keep."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return ""
    found = re.search(rf'^    {name}\b[^\n]*\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL)
    return inspect.cleandoc(found[1]) if found else ""


def _assigned(name: str) -> str:
    """The same of a constant of a module."""
    source = inspect.getsource(importlib.import_module("headway.caching"))
    found = re.search(rf'^{name}\b[^\n]*\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL)
    return inspect.cleandoc(found[1]) if found else ""


def _signature(name: str, function: Any) -> str:
    """As written, one parameter a line where it is long."""
    signature = inspect.signature(function)
    whole = _unquoted(f"{name}{signature}")
    if len(whole) <= _WIDTH:
        return whole
    parameters = [f"    {_unquoted(str(each))}," for each in signature.parameters.values()]
    result = signature.return_annotation
    end = ")" if result is signature.empty else f") -> {result}"
    return "\n".join([f"{name}(", *parameters, end])


def _unquoted(text: str) -> str:
    """Annotations are strings to Python here, and stand in quotes."""
    return re.sub(r"""(: |-> )(["'])(.*?)\2(?= =|[,)]|$)""", r"\1\3", text)


def _told(docstring: str | None) -> Iterator[str]:
    """A docstring of the Google style as Markdown."""
    if not docstring:
        return
    for section in griffe.Docstring(inspect.cleandoc(docstring)).parse("google"):
        match section.kind.value:
            case "text":
                yield section.value
            case "parameters":
                yield "**Arguments**\n\n" + "\n".join(
                    _item(f"`{each.name}`", each.description) for each in section.value
                )
            case "raises":
                yield "**Raises**\n\n" + "\n".join(
                    _item(f"`{each.annotation}`", each.description) for each in section.value
                )
            case "returns" | "yields":
                yield "**Gives** " + " ".join(each.description for each in section.value)
            case "examples":
                yield "\n\n".join(text for _, text in section.value)
            case other:
                raise ValueError(f"nothing here writes a section {other!r} of a docstring")


def _item(name: str, description: str) -> str:
    lines = description.splitlines()
    return "\n".join([f"- {name}: {lines[0]}", *(f"  {line}".rstrip() for line in lines[1:])])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _anchors(names: Sequence[str]) -> Iterator[str]:
    """As the forges make them of headings: a second `flow`, however it is written, is `flow-1`."""
    seen: Counter[str] = Counter()
    for name in names:
        anchor = name.lower()
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
        seen[anchor] += 1


def main(arguments: Sequence[str]) -> int:
    """Writes or checks the pages; 1 if they are not current."""
    wanted = pages()
    if "--check" in arguments:
        found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
        stale = sorted(
            name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
        )
        if stale:
            sys.stderr.write(f"Not current: {', '.join(stale)}. Run: make reference\n")
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
