"""What a suspended run asks, as forms of its page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headway_control_plane.application.answer_run import OpenWait
from headway_control_plane.ui.views.fields import Field, NotJson, fields_of, values_of
from headway_control_plane.ui.words import Moment, moment


@dataclass(frozen=True, slots=True)
class Question:
    """A form. Without `fields` the answer is typed as JSON; `asks` False: a button alone lets the run go on."""

    call: str
    title: str
    until: Moment | None
    asks: bool
    fields: Sequence[Field]
    help: str
    value: str
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """What was posted to a question and not accepted."""

    call: str
    posted: Mapping[str, str]
    problems: Sequence[str]


def questions_of(
    waits: Iterable[OpenWait], now: datetime, refused: Refused | None = None
) -> list[Question]:
    """Return a form for each question that is still open."""
    shown = []
    for wait in waits:
        if wait.kind != "input" or wait.answered or (wait.until and wait.until <= now):
            continue
        again = refused if refused is not None and refused.call == wait.call.hex() else None
        posted = again.posted if again else None
        shown.append(
            Question(
                call=wait.call.hex(),
                title=wait.title or wait.name or "The run waits for an answer.",
                until=moment(wait.until, now) if wait.until else None,
                asks=wait.schema != {},
                fields=fields_of(wait.schema or {}, {}, posted),
                help=_help(wait.schema),
                value=(posted or {}).get("value", ""),
                problems=again.problems if again else wait.problems,
            )
        )
    return shown


def _help(schema: Mapping[str, Any] | None) -> str:
    if schema is None:
        return "as JSON; what it must be is withheld by the pool"
    kind = schema.get("type")
    return f"{kind}, as JSON" if isinstance(kind, str) else "as JSON"


def answer_of(wait: OpenWait, posted: Mapping[str, str]) -> Any:
    """The value that a form holds; raises NotJson."""
    schema = wait.schema or {}
    if schema.get("properties"):
        return values_of(schema, posted)
    text = posted.get("value", "").strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NotJson("answer", text) from None
