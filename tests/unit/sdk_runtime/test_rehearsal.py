"""What a template does ahead of the attempts that are forked from it."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from headway import secrets, variables
from headway.runtime.rehearsal import rehearse
from headway.runtime.template import Template


def state() -> tuple[object, ...]:
    root = logging.getLogger()
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        [signal.getsignal(number) for number in signal.valid_signals()],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
        threading.enumerate(),
        (list(root.handlers), root.level),
        (dict(os.environ), Path.cwd(), list(sys.path), sys.getrecursionlimit()),
        (secrets._installed, variables._installed),
    )


def leaves_all_as_it_was() -> None:
    rehearse()  # what is imported with the first one stays
    before = state()
    for _ in range(3):
        rehearse()
    assert state() == before


def test_a_rehearsal_leaves_the_process_as_it_was() -> None:
    """In a process of its own: threads of other tests begin and end in this one."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=leaves_all_as_it_was)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def child(_start: dict[str, object], _sock: socket.socket) -> int:
    return 0


def test_a_request_comes_before_what_is_left_of_the_rehearsals() -> None:
    done: list[int] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def rehearsal() -> None:
            done.append(1)
            if len(done) == 2:
                ours.sendall(b"a request")

        template = Template(theirs, child, [rehearsal] * 5)
        assert template._next() == b"a request"
        assert len(done) == 2


def test_a_rehearsal_that_fails_is_told_and_the_last_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.runtime.template.gc.freeze", lambda: None)  # not this process
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def fails() -> None:
            ours.sendall(b"a request")
            raise ValueError("not as it should be")

        template = Template(theirs, child, [fails] * 5)
        assert template._next() == b"a request"
        ours.sendall(b"another")
        assert template._next() == b"another"
    assert capsys.readouterr().err.count("ValueError: not as it should be") == 1
