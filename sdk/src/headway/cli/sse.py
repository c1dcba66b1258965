"""Following the log over server-sent events: resumed from the last cursor whenever the connection breaks."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from headway.cli.client import Client, refusal, unreachable

_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
# The server says something at least every 15 s.
_SILENCE = 45.0


@dataclass(frozen=True, slots=True)
class Frame:
    """`kind`: message (an event of the log), bookmark, reset."""

    kind: str
    id: str
    data: Any


@dataclass(slots=True)
class Follow:
    """What to follow, and what to do when the connection is lost or back.

    Attributes:
        after: Cursor to begin behind; empty: from now on. It moves with what was delivered.
        stop: Set by whoever wants no more.
        on_connection: Told False when the connection was lost, True when it is back.
    """

    client: Client
    after: str = ""
    run: str = ""
    stream: str = ""
    stop: threading.Event | None = None
    on_connection: Callable[[bool], None] = lambda _: None

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames for ever; ends when `stop` is set. The first connection must work."""
        stop = self.stop or threading.Event()
        failures, was_connected = 0, False
        while not stop.is_set():
            try:
                for frame in self._connect():
                    if failures:
                        self.on_connection(True)
                    failures, was_connected = 0, True
                    if frame is not None:
                        yield frame
                    if stop.is_set():
                        return
            except httpx.TransportError as error:
                if not was_connected:
                    raise unreachable(self.client.url, error) from error
                if not failures:
                    self.on_connection(False)
                failures += 1
            stop.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])

    def _connect(self) -> Iterator[Frame | None]:
        """Yield the frames of one connection; None for a sign of life."""
        query = {"after": self.after, "run": self.run, "stream": self.stream}
        with self.client.http.stream(
            "GET",
            "/events/stream",
            params={name: value for name, value in query.items() if value},
            headers={"Accept": "text/event-stream"},
            timeout=httpx.Timeout(10.0, read=_SILENCE),
        ) as answer:
            if answer.status_code in {429, 502, 503, 504}:
                raise httpx.RemoteProtocolError(f"answered {answer.status_code}")
            if not answer.is_success:
                answer.read()
                raise refusal(answer)
            yield None
            for frame in parse(answer.iter_lines()):
                if frame is not None and frame.id:
                    self.after = frame.id
                yield frame


def parse(lines: Iterator[str]) -> Iterator[Frame | None]:
    """Parse the lines of an event stream; None for comments, which are signs of life."""
    kind, last_id, data = "message", "", []
    for line in lines:
        if line.startswith(":"):
            yield None
        elif line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "event":
                    kind = value
                case "id":
                    last_id = value
                case "data":
                    data.append(value)
                case _:
                    pass  # `retry` and whatever a later server adds
        else:
            if data:
                yield Frame(kind, last_id, json.loads("\n".join(data)))
            kind, data = "message", []
