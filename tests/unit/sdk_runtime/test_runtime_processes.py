"""Signals to many processes."""

import os
import signal

import pytest

from headway.runtime import processes


def test_a_process_of_another_user_keeps_no_signal_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = []

    def kill(pid: int, number: int) -> None:
        if pid == 1:
            raise PermissionError
        if pid == 2:
            raise ProcessLookupError
        reached.append((pid, number))

    monkeypatch.setattr(os, "kill", kill)
    processes.signal_each([1, 2, 3], signal.SIGKILL)
    assert reached == [(3, signal.SIGKILL)]
