"""Waits of a flow: for a time, a person, an event. A long one holds no process and no slot; a later attempt goes on from it."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from headway import clock
from headway.context import Call, current_call
from headway.errors import InvalidOption, NotInFlow, NotInRun, WaitTimedOut, WrongInput

if TYPE_CHECKING:
    from headway.child_runs import RunRequest

T = TypeVar("T")
Duration = float | timedelta

SUSPEND_AFTER_S = 60.0
LONGEST_S = 366 * 24 * 3600.0
MOST_TITLE = 500
MOST_REQUEST = 64 * 1024
MOST_NAME = 200
MOST_KEY = 1000
MOST_PROBLEMS = 20
MOST_PROBLEM = 300

_log = logging.getLogger("headway")


class WaitSpec(NamedTuple):
    """What is waited for. `identity` makes it the same wait in the next attempt; `seconds` None: without end."""

    kind: str
    name: str
    identity: Mapping[str, Any]
    seconds: float | None
    topic: str = ""
    request: Mapping[str, Any] | None = None
    in_process_s: float = 0.0
    """Up to so many seconds are waited here, in the process."""
    holds: bool = False
    """The process waits, however long it takes."""
    run: RunRequest | None = None
    """The run that is asked for, of the kind `run`."""


class Over(NamedTuple):
    """A wait came to its end. `answered`: with `value`; else its time is up. `is_kept`: an earlier attempt knew it already."""

    answered: bool
    value: Any = None
    is_kept: bool = False


def sleep(seconds: Duration, *, suspend_after: Duration = SUSPEND_AFTER_S) -> None:
    """Sleeps. Longer than `suspend_after` the flow is suspended meanwhile, and the sleep goes on through any restart.

    Outside a run it is `time.sleep`. In async code a sleep that is not suspended blocks the event loop: use
    `asyncio.sleep` for short ones.
    """
    length = seconds_of("seconds", seconds)
    _sleep(length, {"seconds": length}, suspend_after)


def sleep_until(when: datetime, *, suspend_after: Duration = SUSPEND_AFTER_S) -> None:
    """Sleeps until an instant, which needs a zone. One that has passed returns at once."""
    if when.tzinfo is None:
        raise InvalidOption(f"sleep_until needs an instant with a zone, not {when!r}")
    until_us = round(when.timestamp() * 1e6)
    left = max(0.0, (until_us - clock.now_us()) / 1e6)
    _sleep(left, {"until": until_us}, suspend_after)


def _sleep(length: float, identity: Mapping[str, Any], suspend_after: Duration) -> None:
    limit = seconds_of("suspend_after", suspend_after)
    call = _flow_call()
    if call is None:
        time.sleep(length)  # noqa: TID251 - the user asked for it, and there is no run that could be told
    else:
        spec = WaitSpec("sleep", "sleep", identity, length, in_process_s=limit)
        call.engine.wait(call, spec)


@overload
def wait_for_input(
    kind: type[T], *, title: str = "", name: str = "input", timeout: Duration | None = None
) -> T: ...
@overload
def wait_for_input(
    kind: Mapping[str, Any] | None = None,
    *,
    title: str = "",
    name: str = "input",
    timeout: Duration | None = None,
) -> Any: ...
def wait_for_input(
    kind: type[Any] | Mapping[str, Any] | None = None,
    *,
    title: str = "",
    name: str = "input",
    timeout: Duration | None = None,
) -> Any:
    """Asks a person and gives the answer. The run is suspended meanwhile; its page shows the form.

    Args:
        kind: What the answer must be: a dataclass, a TypedDict or any other hint that a parameter can have, or a JSON
            Schema; None takes any JSON. Answers are checked before they are accepted.
        title: The question, shown above the form.
        name: Names the wait on pages and in commands.
        timeout: Seconds until it gives up; a run without waits for a week.

    An answer that cannot be read as `kind` ends nothing: the question is asked again, with what was wrong, and with its
    whole time. That comes about where the schema could not tell, and where the pool does not let it out.

    Raises:
        WaitTimedOut: Nobody answered in time.
    """
    return _ask(_needed("wait_for_input"), kind, title, name, timeout, holds=False)


@overload
def pause(
    kind: type[T], *, title: str = "", name: str = "input", timeout: Duration | None = None
) -> T: ...
@overload
def pause(
    kind: Mapping[str, Any] | None = None,
    *,
    title: str = "",
    name: str = "input",
    timeout: Duration | None = None,
) -> Any: ...
def pause(
    kind: type[Any] | Mapping[str, Any] | None = None,
    *,
    title: str = "",
    name: str = "input",
    timeout: Duration | None = None,
) -> Any:
    """Asks a person as `wait_for_input` does, and keeps the process and its slot meanwhile: what is in memory stays.

    The run goes on running; its page shows the form. Tasks that were submitted go on. If the process dies, the next
    attempt asks again, and has the answer if it was given meanwhile. In async code it blocks the event loop. Under an
    agent that knows no pauses, and in `headway.testing`, the run is suspended, as by `wait_for_input`.

    Args:
        kind: What the answer must be, as for `wait_for_input`; None takes any JSON, also a bare word to go on
            (`headway runs resume`).
        title: The question, shown above the form.
        name: Names the wait on pages and in commands.
        timeout: Seconds until it gives up; without one it waits for as long as the flow may run.

    Raises:
        WaitTimedOut: Nobody answered in time.
        NotInFlow: Called by a task.
        NotInRun: Outside a run nobody could answer.
    """
    title = title if kind is not None else title or "Go on?"
    return _ask(_needed("pause"), kind, title, name, timeout, holds=True)


def _ask(
    call: Call,
    kind: type[Any] | Mapping[str, Any] | None,
    title: str,
    name: str,
    timeout: Duration | None,
    *,
    holds: bool,
) -> Any:
    from headway.parameters.single import schema_of  # noqa: PLC0415 - only those who ask need it

    schema = dict(kind) if isinstance(kind, Mapping) else schema_of(kind)
    seconds = None if timeout is None else seconds_of("timeout", timeout)
    request: dict[str, Any] = {"title": _title(title), "schema": schema}
    if len(json.dumps(request)) > MOST_REQUEST:
        raise InvalidOption(f"title and schema must fit into {MOST_REQUEST} bytes of JSON")
    checked_name(name)
    while True:
        spec = WaitSpec("input", name, {"name": name}, seconds, request=request, holds=holds)
        over = call.engine.wait(call, spec)
        if not over.answered:
            raise WaitTimedOut(f"nobody answered {name!r} in time")
        try:
            return _read(kind, name, over.value)
        except WrongInput as wrong:
            # Asked once more: a call of its own in the journal, so that each attempt comes to the same questions.
            problems = _told(wrong)
            if not over.is_kept:
                _log.warning(
                    "the answer to %r does not fit, and it is asked again: %s",
                    name,
                    "; ".join(problems),
                )
            request = {**request, "problems": problems}


def _told(wrong: WrongInput) -> list[str]:
    """What was wrong, for whoever answers next; cut to what a form has room for."""
    lines = [
        f"{path.removeprefix('$.').replace('$', 'answer')}: {message}"
        for path, message in wrong.problems
    ]
    return [line[:MOST_PROBLEM] for line in lines[:MOST_PROBLEMS]]


@overload
def wait_for_event(
    name: str, *, key: str = "", kind: type[T], timeout: Duration | None = None
) -> T: ...
@overload
def wait_for_event(
    name: str,
    *,
    key: str = "",
    kind: Mapping[str, Any] | None = None,
    timeout: Duration | None = None,
) -> Any: ...
def wait_for_event(
    name: str,
    *,
    key: str = "",
    kind: type[Any] | Mapping[str, Any] | None = None,
    timeout: Duration | None = None,
) -> Any:
    """Waits for an event from outside (`POST /events`, `headway events emit`) and gives its value. The run is suspended meanwhile.

    An event reaches the runs that wait for it when it comes; its sender is told which. One that nobody waits for is not kept.

    Args:
        name: Of the event.
        key: Which of the events of this name; events are matched by name and key.
        kind: What the value must be, as for `wait_for_input`; it is read here, when it has come.
        timeout: Seconds until it gives up; a run without waits for a week.

    Raises:
        WaitTimedOut: No such event came in time.
        WrongInput: The value is no such thing.
    """
    call = _needed("wait_for_event")
    seconds = None if timeout is None else seconds_of("timeout", timeout)
    topic = event_topic(*event_words(name, key))
    spec = WaitSpec("event", name, {"name": name, "key": key}, seconds, topic=topic)
    over = call.engine.wait(call, spec)
    if not over.answered:
        raise WaitTimedOut(f"no event {name!r} came in time")
    return _read(kind, name, over.value)


def event_words(name: object, key: object) -> tuple[str, str]:
    """Name and key of an event; raises InvalidOption for what can be neither."""
    return checked_name(name), _key(key)


def event_topic(name: str, key: str) -> str:
    """What stands for name and key where names are withheld."""
    return hashlib.sha256(f"{name}\0{key}".encode("utf-8", "replace")).hexdigest()


def suspend(*, title: str = "", name: str = "go on", timeout: Duration | None = None) -> None:
    """Suspends the run until a person lets it go on (`headway runs resume`)."""
    wait_for_input(None, title=title or "Go on?", name=name, timeout=timeout)


def _read(kind: type[Any] | Mapping[str, Any] | None, name: str, raw: Any) -> Any:
    from headway.parameters.single import read  # noqa: PLC0415 - as above

    if kind is None or isinstance(kind, Mapping):
        return raw
    value, problems = read(kind, raw)
    if problems:
        raise WrongInput(name, problems)
    return value


def _flow_call() -> Call | None:
    call = current_call()
    if call is not None and not call.may_wait:
        raise NotInFlow(
            f"{call.name} is a task: a wait in it would be repeated with all that came before. Wait in the flow that calls it"
        )
    return call


def _needed(what: str) -> Call:
    call = _flow_call()
    if call is None:
        raise NotInRun(
            f"no run here, so nobody could answer: {what} needs one. Start it with `headway run`."
        )
    return call


def seconds_of(name: str, given: Duration) -> float:
    """Of a duration that was given under this name. Raises InvalidOption."""
    value: object = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
        raise InvalidOption(f"{name} must be 0 to {LONGEST_S:g} seconds, not {given!r}")
    return float(value)


def checked_name(name: object) -> str:
    """A word for people and indexes. Raises InvalidOption."""
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise InvalidOption(f"name must be 1 to {MOST_NAME} printable characters, not {name!r}")
    return name


def _key(key: object) -> str:
    if not isinstance(key, str) or len(key) > MOST_KEY:
        raise InvalidOption(f"key must be a text of at most {MOST_KEY} characters")
    return key


def _title(title: object) -> str:
    if not isinstance(title, str) or len(title) > MOST_TITLE:
        raise InvalidOption(f"title must be a text of at most {MOST_TITLE} characters")
    return title
