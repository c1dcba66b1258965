"""Streams of pages tell nothing of another workspace."""

from __future__ import annotations

import threading

import pytest

from headway_control_plane.ui import live
from support.eventually import eventually
from support.http_server import SseFrame
from support.ui_neighbours import browser, other, server
from support.ui_server import UiServer

pytestmark = pytest.mark.postgres

__all__ = ["other", "server"]


class Listener(threading.Thread):
    """A page's stream, read as it comes."""

    def __init__(self, server: UiServer, token: str, scope: str) -> None:
        super().__init__(name=f"live {scope}", daemon=True)
        self.frames: list[SseFrame] = []
        self._client = browser(server, token)
        self._scope = scope
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        frame = SseFrame()
        with self._client.stream("GET", f"/ui/live?scope={self._scope}") as response:
            for line in response.iter_lines():
                if self._over.is_set():
                    return
                name, _, value = line.partition(": ")
                if name in {"id", "event", "data"}:
                    setattr(frame, name, value)
                elif not line:
                    self.frames.append(frame)
                    frame = SseFrame()

    def heard(self, event: str) -> list[SseFrame]:
        return [frame for frame in self.frames if frame.event == event]

    def wait_for(self, event: str, more: int = 1) -> None:
        count = len(self.heard(event)) + more
        eventually(lambda: len(self.heard(event)) >= count, what=f"{event} on {self._scope}")

    def end(self) -> None:
        """The next beat is the last."""
        self._over.set()
        self.join(20)
        self._client.close()
        assert not self.is_alive()


def test_live_streams_tell_nothing_of_another_workspace(server, other, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(live, "LINES_SECONDS", 0.1)
    scope = f"run/{other.run}%26fence=1".replace("%26", "&")
    theirs = Listener(server, other.token, scope)
    ours = [Listener(server, server.token, each) for each in (scope, "runs", "agents", "events")]
    try:
        for each in (theirs, *ours):
            eventually(lambda each=each: each.heard("hello"), what="a stream")
            each.wait_for("beat")

        async def go_on() -> None:
            other.script.call(other.word("task"), 2, 3, number=2)
            other.script.say(2, other.word("later-line"))
            await other.script.send()

        server.call(go_on)
        eventually(lambda: theirs.heard("lines") and theirs.heard("changed"), what="their news")
        for each in ours:
            each.wait_for("beat", 2)  # whatever was to be said has been said
            assert {frame.event for frame in each.frames} == {"hello", "beat"}, each.frames
        server.call(lambda: server.world.create("ours"))
        for each in ours:
            if each is not ours[0]:
                eventually(lambda each=each: each.heard("changed"), what="our own news")
            said = "".join(frame.id + frame.data for frame in each.frames)
            assert other.found_in(said.encode()) == []
    finally:
        for each in (theirs, *ours):
            each.end()
