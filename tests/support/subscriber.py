"""A subscriber as customers write them: follows the event feed from the beginning, comes back with its cursor after each outage.

It remembers every event that it was given since it last had to begin anew. At the end that is compared with the log.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

START = "0:0"
SILENCE = 30.0
"""Seconds without a byte after which a stream counts as dead: more than two heartbeats of the server."""
PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as it was delivered."""

    cursor: str
    event_id: str


@dataclass
class Frame:
    """One server-sent event."""

    event: str = "message"
    id: str = ""
    data: list[str] = field(default_factory=list)


class Subscriber:
    """A thread that reads `GET /events/stream` of one workspace. `stop` ends it whatever it is waiting for."""

    def __init__(self, url: str, token: str) -> None:
        self._address = urlsplit(url)
        self._token = token
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self.cursor = START
        self.seen: list[Seen] = []
        self.heard = bytearray()  # every line that was served
        self.resets = 0
        self.connections = 0
        self.faults: list[str] = []
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):  # it has ended by itself
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(SILENCE)

    def position(self) -> tuple[int, int]:
        """Epoch and offset of the last event seen, or of the last bookmark."""
        epoch, _, offset = self.cursor.partition(":")
        return int(epoch), int(offset)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.last_error = repr(error)  # an outage: that is what the cursor is for
            self._stopping.wait(PAUSE)

    def _follow(self) -> None:
        connection = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port or 80, timeout=SILENCE
        )
        with self._lock:
            self._connection = connection
        try:
            head = {"Authorization": f"Bearer {self._token}", "Last-Event-ID": self.cursor}
            connection.request("GET", f"{self._address.path}/api/v1/events/stream", headers=head)
            answer = connection.getresponse()
            if answer.status != 200:
                if 400 <= answer.status < 500 and answer.status != 429:
                    self.faults.append(f"refused with {answer.status}: {answer.read(500)!r}")
                return
            self.connections += 1
            for frame in frames(self._lines(answer)):
                self._take(frame)
                if self._stopping.is_set():
                    return
        finally:
            with self._lock:
                self._connection = None
            connection.close()

    def _lines(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        while line := answer.readline():
            self.heard += line
            yield line

    def _take(self, frame: Frame) -> None:
        if frame.event == "reset":
            said = json.loads("\n".join(frame.data))
            if said.get("code") != "epoch_changed":
                self.faults.append(f"a reset without its type: {said}")
            self.resets += 1
            self.seen.clear()
        elif frame.event == "message":
            body = json.loads("\n".join(frame.data))
            if body["cursor"] != frame.id:
                self.faults.append(f"event {body['cursor']} came with the id {frame.id}")
            self.seen.append(Seen(frame.id, body["event_id"]))
        if frame.id:
            self.cursor = frame.id


def frames(lines: Iterable[bytes]) -> Iterator[Frame]:
    """Whole frames; one that an outage tore is not taken."""
    frame = Frame()
    for line in lines:
        if not line.endswith(b"\n"):
            return
        text = line.decode().rstrip("\r\n")
        if not text:
            if frame.data:
                yield frame
            frame = Frame()
            continue
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            frame.data.append(value)
        elif name == "event":
            frame.event = value
        elif name == "id":
            frame.id = value


def violations(seen: Sequence[Seen], log: Sequence[Seen]) -> list[str]:
    """11: what was seen is the log's beginning, each event once and in its place. `log` is the whole of it, in order."""
    found: list[str] = []
    for at, (mine, its) in enumerate(zip(seen, log, strict=False)):
        if mine != its:
            found.append(f"event {at + 1} seen is {mine}, the log holds {its}")
            break
    if len(seen) > len(log):
        found.append(f"{len(seen)} events seen, the log holds {len(log)}")
    twice = len(seen) - len({each.event_id for each in seen})
    if twice:
        found.append(f"{twice} events seen twice")
    return found
