"""Answer what a suspended run asks. The answer is checked against the wait's schema before it is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from headway_control_plane.application.errors import (
    InvalidParameters,
    InvalidRequest,
    Missing,
    Problem,
    TooLarge,
)
from headway_control_plane.application.json_values import encode, problems_of, read_foreign
from headway_control_plane.application.parameters import MAX_BYTES, check_schema, value_problems
from headway_control_plane.application.ports import Cursor, Log
from headway_control_plane.domain.commands import AnswerRun
from headway_control_plane.domain.errors import InvalidState
from headway_control_plane.domain.streams import Blob

_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class OpenWait:
    """A wait of a run's newest suspension. `schema` None: withheld, erased, or none that can be checked."""

    call: bytes
    kind: str
    name: str
    until: datetime | None
    title: str
    schema: Mapping[str, Any] | None
    answered: bool
    run: UUID | None = None  # that is waited for
    problems: Sequence[str] = ()  # of the answer before, when it is asked again


class WaitsOfRuns(Protocol):
    """Reads what runs wait for; None: there is no such run."""

    async def waits(self, ws: int, run: UUID) -> Sequence[OpenWait] | None: ...


@dataclass(frozen=True, slots=True)
class RunAnsweredBy:
    cursor: Cursor


async def answer_run(
    log: Log,
    waits: WaitsOfRuns,
    ws: int,
    run: UUID,
    *,
    actor: str,
    value: Any,
    name: str = "",
    call: bytes = b"",
) -> RunAnsweredBy:
    """Give the run's one open question its answer; `name` or `call` says which, where there are several."""
    asked = await waits.waits(ws, run)
    if asked is None:
        raise Missing(
            "There is no such run in this workspace.", hint="List runs with: headway runs ls"
        )
    wait = _chosen(asked, name, call)
    encoded = _checked(wait, value)
    done = await log.execute(ws, AnswerRun(run, wait.call, Blob.of(encoded)), actor=actor)
    return RunAnsweredBy(done.cursor)


def _chosen(asked: Sequence[OpenWait], name: str, call: bytes) -> OpenWait:
    inputs = [wait for wait in asked if wait.kind == "input"]
    if call:
        found = [wait for wait in inputs if wait.call == call]
    else:
        found = [wait for wait in inputs if not wait.answered and name in ("", wait.name)]
    if not found:
        raise InvalidState("The run asks for no such input, or it was answered before.")
    if len(found) > 1:
        names = ", ".join(sorted({wait.name for wait in found})) or "several"
        raise InvalidRequest(
            "The run waits for several inputs.",
            hint="Say which one, by its name or its call.",
            problems=[Problem("name", f"is one of: {names}")],
        )
    return found[0]


def _checked(wait: OpenWait, value: Any) -> bytes:
    encoded = checked_value(value)
    problems = value_problems(encode(wait.schema), value) if wait.schema is not None else []
    if problems:
        raise InvalidParameters("The answer does not fit what the run asks for.", problems=problems)
    return encoded


def checked_value(value: Any) -> bytes:
    """Encode a value that can be stored and is not too large."""
    problems = list(problems_of(value, "value"))
    if problems:
        raise InvalidParameters("The answer cannot be stored.", problems=problems[:100])
    encoded = encode(value)
    if len(encoded) > MAX_BYTES:
        raise TooLarge(f"The answer takes {len(encoded):,} bytes; the limit is {MAX_BYTES:,}.")
    return encoded


@dataclass(frozen=True, slots=True)
class Request:
    """What a person is asked. `problems`: what was wrong with the answer before, when it is asked again."""

    title: str = ""
    schema: Mapping[str, Any] | None = None
    problems: Sequence[str] = ()


def read_request(content: bytes | None) -> Request:
    """Read a question. It comes from an agent: what is no such thing counts as absent."""
    try:
        request = read_foreign(content or b"null")
    except ValueError:
        return Request()
    if not isinstance(request, dict):
        return Request()
    title, problems = request.get("title"), request.get("problems")
    return Request(
        title if isinstance(title, str) else "",
        _usable(request.get("schema")),
        tuple(each for each in problems[:_MOST_PROBLEMS] if isinstance(each, str))
        if isinstance(problems, list)
        else (),
    )


def _usable(schema: object) -> Mapping[str, Any] | None:
    if not isinstance(schema, dict):
        return None
    try:
        check_schema(schema)
    except InvalidRequest:
        return None
    return schema
