"""A flow asks its agent for what others made: whatever the agent does, the question ends, and no doubt is a hit."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from headway.runtime.cache_store import Entry, text_of
from headway.runtime.shared_cache import BRING_S, LOOK_S, Asking

KEY = "ab" * 32
ENTRY = Entry(KEY, "flows:load", "load", {}, 1, "run", "call", {"codec": "json", "data": "1"})
DEADLINE_S = 30


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def agent(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Takes one question and does as it is told."""
    with tempfile.TemporaryDirectory(prefix="hw") as folder:
        path = str(Path(folder) / "s")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()

            def serve() -> None:
                taken, _ = listening.accept()
                with taken, taken.makefile("rb") as asked:
                    assert json.loads(asked.readline())["key"] == KEY
                    answer(taken)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield path
            finally:
                thread.join(DEADLINE_S)


def ask(path: str, clock: Callable[[], float] | None = None) -> Asking:
    question = {"type": "cache.find", "key": KEY}
    return Asking(path, question) if clock is None else Asking(path, question, clock=clock)


def until_answered(asking: Asking) -> Entry | None:
    pause = threading.Event()
    for _ in range(DEADLINE_S * 200):
        if asking.poll():
            entry = asking.entry()
            asking.close()
            return entry
        pause.wait(0.005)
    raise AssertionError("the question has no end")


def said(head: object, entry: bytes = b"", tail: object = None) -> bytes:
    last = b"" if tail is None else json.dumps(tail).encode() + b"\n"
    return json.dumps(head).encode() + b"\n" + entry + last


def good(entry: bytes) -> bytes:
    return said({"reason": "", "size": len(entry)}, entry, {"reason": ""})


def test_an_answer_in_single_bytes_is_whole():
    def slowly(taken: socket.socket) -> None:
        for byte in good(text_of(ENTRY)):
            taken.sendall(bytes([byte]))

    with agent(slowly) as path:
        assert until_answered(ask(path)) == ENTRY


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "half an answer"),
        (b"nonsense", "half an answer"),
        (b"[]\n", "half an answer"),
        (b"{}\n", "no answer"),
        (said({"reason": "not there"}), "not there"),
        (said({"reason": "", "size": "x"}), "half an answer"),
        (said({"reason": "", "size": 10**6}, text_of(ENTRY), {"reason": ""}), "half an answer"),
        (said({"reason": "", "size": -1}, text_of(ENTRY), {"reason": ""}), "half an answer"),
        (good(text_of(ENTRY))[:-20], "half an answer"),
        (said({"reason": "", "size": 3}, b"abc", {"reason": "value gone"}), "value gone"),
        (good(b"not an entry"), "not what was written"),
        (good(text_of(ENTRY)[:-1]), "not what was written"),
        (good(text_of(ENTRY._replace(key="cd" * 32))), "not what was written"),
    ],
)
def test_anything_else_is_nothing_and_says_why(answer: bytes, why: str):
    with agent(lambda taken: taken.sendall(answer)) as path:
        asking = ask(path)
        assert until_answered(asking) is None
    assert why in asking.reason


def test_an_answer_without_end_is_given_up():
    def endless(taken: socket.socket) -> None:
        taken.settimeout(DEADLINE_S)
        with suppress(OSError):  # whichever way the asker hangs up
            while True:
                taken.sendall(b"x" * 65_536)

    with agent(endless) as path:
        asking = ask(path)
        assert until_answered(asking) is None
    assert "no end" in asking.reason


@pytest.mark.parametrize(("first", "limit"), [(b"", LOOK_S), (b'{"reason": ""}\n', BRING_S)])
def test_an_agent_that_says_no_more_is_not_waited_for(first: bytes, limit: float):
    over, clock = threading.Event(), Clock()

    def silent(taken: socket.socket) -> None:
        if first:  # sending nothing, too, fails once the asker has hung up
            taken.sendall(first)
        over.wait(DEADLINE_S)

    with agent(silent) as path:
        asking = ask(path, clock)
        pause = threading.Event()
        for _ in range(DEADLINE_S * 200):
            assert not asking.poll()
            if len(asking._heard) == len(first):
                break
            pause.wait(0.005)
        clock.now = limit - 0.1
        assert not asking.poll()
        clock.now = limit
        assert asking.poll()
        assert asking.entry() is None
        assert asking.reason == "the store took too long"
        asking.close()
        over.set()


def test_where_nobody_listens_it_says_so(tmp_path: Path):
    asking = ask("/nowhere/at/all")
    assert asking.poll()
    assert asking.entry() is None
    assert "the agent cannot be asked" in asking.reason
    asking.close()


def test_a_process_has_few_questions_under_way_and_all_get_their_turn():
    places = threading.Semaphore(3)
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="hw") as folder, socket.socket(socket.AF_UNIX) as agent:
        path = str(Path(folder) / "s")
        agent.bind(path)
        agent.listen(20)
        agent.setblocking(False)
        all_of_them = [Asking(path, {"key": KEY}, places, clock) for _ in range(10)]
        waiting, most = list(all_of_them), 0
        while waiting:
            answered = [asking for asking in waiting if asking.poll()]
            taken = []
            with suppress(BlockingIOError):
                while True:
                    taken.append(agent.accept()[0])
            most = max(most, len(taken))
            for connection in taken:
                connection.close()
            for asking in answered:
                asking.close()
            waiting = [asking for asking in waiting if asking not in answered]
        assert most == 3
        late = Asking(path, {"key": KEY}, threading.Semaphore(0), clock)
        assert not late.poll()
        clock.now = LOOK_S
        assert late.poll()
        assert late.reason == "the store took too long"
        late.close()
