"""Events that flows and tasks emit, for the runs that wait for them (`wait_for_event`) and for the feed of events."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from headway.context import current_call
from headway.errors import OutputRefused
from headway.outputs import MOST_VALUE
from headway.parameters.plain import NotPlain, plain
from headway.waits import event_topic, event_words


class EventSpec(NamedTuple):
    """An event; `value` is JSON, empty where it has none."""

    name: str
    key: str
    topic: str
    value: str


def emit_event(name: str, *, key: str = "", value: Any = None) -> None:
    """Emits an event. Every run of the workspace that waits for this name and key at that moment goes on with its value.

    It is emitted once over all attempts of the run. A task that is tried again emits again. One that nobody waits for stands in
    the feed of events, and answers nobody later. Outside a run it goes nowhere.

    Args:
        name: Of the event, 1 to 200 printable characters.
        key: Which of the events of this name, at most 1,000 characters.
        value: JSON, or what has a JSON form; at most 64 KiB. Where the pool does not permit `event`, the value stays in your
            network, and an event that has one reaches nobody.

    Raises:
        InvalidOption: A wrong name or key.
        OutputRefused: The value has no JSON form, or is too large.
    """
    words = event_words(name, key)
    spec = EventSpec(*words, event_topic(*words), "" if value is None else _json(name, value))
    call = current_call()
    if call is not None:
        call.engine.emit_event(call, spec)


def _json(name: str, value: Any) -> str:
    try:
        text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    except NotPlain as error:
        raise OutputRefused(
            f"the value of the event {name!r} has no JSON form: {error}. Emit plain data"
        ) from None
    if len(text.encode("utf-8", "replace")) > MOST_VALUE:
        raise OutputRefused(
            f"the value of the event {name!r} has more than {MOST_VALUE:,} bytes: store it where your data is and emit where it lies"
        )
    return text
