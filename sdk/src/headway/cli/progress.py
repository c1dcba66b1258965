"""What a wait knows of its run: fed by the event stream, refreshed by reads that such an event makes worth while."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from headway.cli.client import Client, Json
from headway.cli.errors import CommandError
from headway.cli.exits import Exit
from headway.cli.sse import Follow, Frame

ENDED = frozenset({"completed", "failed", "crashed", "cancelled"})
_END_EVENTS = frozenset({"RunCompleted", "RunFailed", "RunCrashed", "RunCancelled"})
_LINES_AT_ONCE = 500
_GRACE = 5.0
# Between two looks: what happens in this time is shown at once, so that a run of ten thousand tasks costs few reads.
_BREATH = 0.2


@dataclass(slots=True)
class Progress:
    """A snapshot: the run, its open calls, the lines that are new since the last one."""

    run: Json
    open_calls: list[Json] = field(default_factory=list)
    new_lines: list[Json] = field(default_factory=list)
    new_events: list[Json] = field(default_factory=list)
    connected: bool = True

    @property
    def ended(self) -> bool:
        return self.run["state"] in ENDED


class Watch:
    """Follows one run. Whoever iterates gets a snapshot whenever something happened, and about once a second."""

    def __init__(
        self,
        client: Client,
        run: Json,
        *,
        timeout: float | None,
        lines: bool = True,
        calls: bool = True,
    ) -> None:
        self._client = client
        self._run = run
        self._deadline = None if timeout is None else monotonic() + timeout
        self._wants_lines = lines
        self._wants_calls = calls
        self._last_line = 0
        self._attempt = 0
        self._connected = True
        self._had_ended = run["state"] in ENDED
        self._end_heard = False
        self._news: queue.SimpleQueue[Frame | Exception | bool] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._follow = Follow(
            Client.of_profile(),
            after=run["cursor"],
            run=run["id"],
            stop=self._stop,
            on_connection=self._news.put,
        )

    def __iter__(self) -> Iterator[Progress]:
        """Yield snapshots; the last one is of the run's end. Raises CommandError when the time is up."""
        reader = threading.Thread(target=self._read, name="event stream", daemon=True)
        reader.start()
        events: list[Json] = []
        try:
            while True:
                progress = self._look(events)
                if progress.ended:
                    self._hear_end(events)
                    self._settle(progress)
                    yield progress
                    return
                yield progress
                events = self._wait()
        finally:
            self._stop.set()

    def _read(self) -> None:
        try:
            for frame in self._follow:
                self._news.put(frame)
        except Exception as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            self._news.put(error)

    def _wait(self) -> list[Json]:
        """Wait for news, at most a second while lines may come (they are no events), and take all that comes in a breath."""
        events: list[Json] = []
        patience = 1.0 if self._wants_lines or self._wants_calls else 3600.0
        if self._deadline is not None:
            left = self._deadline - monotonic()
            if left <= 0:
                raise CommandError(
                    f"The run is still {self._run['state']}; the time to wait is over.",
                    hint=f"It goes on. Wait again: headway runs watch {self._run['id']}",
                    code=Exit.TIMED_OUT,
                )
            patience = min(patience, left)
        try:
            self._take(self._news.get(timeout=patience), events)
            until = monotonic() + _BREATH
            while not self._end_heard and (left := until - monotonic()) > 0:
                self._take(self._news.get(timeout=left), events)
        except queue.Empty:
            pass  # the time is up, or the breath over
        return events

    def _hear_end(self, events: list[Json]) -> None:
        """A read may know of the end before the stream has told it: take what leads up to it, unless that was long ago."""
        try:
            while not (self._had_ended or self._end_heard):
                self._take(self._news.get(timeout=_GRACE), events)
        except queue.Empty:
            return

    def _settle(self, progress: Progress) -> None:
        """The sums of tasks come from a view that may lag behind the end that is known: have the last ones, or say so."""
        path = f"/runs/{self._run['id']}/tasks"
        try:
            page = self._client.get(path, limit=1, min_offset=progress.run["cursor"])
        except CommandError:
            # A view that lags by more than the server waits for, or nobody there: the sums at hand must do.
            progress.run["tasks_behind"] = True
        else:
            progress.run["tasks"] = page["counts"]

    def _take(self, news: Frame | Exception | bool, events: list[Json]) -> None:
        match news:
            case bool():
                self._connected = news
            case Exception():
                raise news
            case Frame(kind="message"):
                events.append(news.data)
                self._end_heard |= news.data["type"] in _END_EVENTS
            case Frame():
                pass  # bookmarks tell nothing new of a run, and a reset is answered by reading the run again

    def _look(self, events: list[Json]) -> Progress:
        if self._connected:
            try:
                return self._read_all(events)
            except CommandError as error:
                if error.exit_code != Exit.UNREACHABLE:
                    raise
        return Progress(self._run, new_events=events, connected=False)

    def _read_all(self, events: list[Json]) -> Progress:
        path = f"/runs/{self._run['id']}"
        self._run = self._client.get(path)
        progress = Progress(self._run, new_events=events)
        if self._wants_calls and self._run["tasks"]["running"] + self._run["tasks"]["retrying"]:
            found = self._client.get(f"{path}/tasks", status=["running", "retrying"], limit=100)
            progress.open_calls = found["items"]
        if self._wants_lines and self._run["attempt"]:
            progress.new_lines = self._read_lines(path)
        return progress

    def _read_lines(self, path: str) -> list[Json]:
        if self._run["attempt"] != self._attempt:
            self._attempt, self._last_line = self._run["attempt"], 0
        lines: list[Json] = []
        while True:
            page: dict[str, Any] = self._client.get(
                f"{path}/logs",
                attempt=self._attempt,
                after_line=self._last_line,
                limit=_LINES_AT_ONCE,
            )
            self._last_line = page["last_line"]
            lines.extend(page["lines"])
            if not page["more"]:
                return lines
