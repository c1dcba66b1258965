"""Flows that misbehave, each in its own way."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from headway import flow, get_run_logger, task

LONE = "a\ud800b\0c"
LARGE = 10 * 1024 * 1024


@flow
def typed(count: int, word: str = "w") -> str:
    return word * count


@flow
def echoes(text: str) -> str:
    print("printed:", text)
    get_run_logger().info("logged: %s", text)
    return text


@flow
def says_the_unsayable() -> str:
    """NUL and a lone surrogate wherever text can go, but for the error."""
    print("printed:", LONE)
    get_run_logger().warning("logged: %s", LONE)
    return LONE


@flow
def raises_the_unsayable() -> None:
    raise ValueError(LONE)


@task
def large() -> str:
    return "x" * LARGE


@flow
def returns_a_large_value() -> str:
    return large()


@flow
def returns_an_object() -> object:
    return object()


@flow
def exits_hard() -> None:
    print("before", flush=True)
    os._exit(3)


@flow
def exits() -> None:
    sys.exit(4)


@flow
def says_no_more() -> None:
    raise SystemExit("no input today")


@flow
def recurses(depth: int = 0) -> None:
    def deeper(n: int) -> int:
        return deeper(n + 1)

    deeper(depth)


@flow
def raises_a_huge_message() -> None:
    raise RuntimeError("m" * LARGE)


@flow
def prints_a_long_line() -> None:
    print("l" * LARGE)
    print("after")


@flow
def prints_many_lines(count: int) -> None:
    for n in range(count):
        print(n)


@flow
def is_stubborn(ready: str) -> None:
    """Swallows every Cancelled and ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _touch(ready)
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(0.05)


@flow
def leaves_children(ready: str) -> None:
    """A child in a session of its own, with a child of its own that ignores SIGTERM."""
    inner = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {inner!r}]); time.sleep(1000)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    _touch(ready)
    threading.Event().wait()


@flow
def sleeps(ready: str) -> None:
    _touch(ready)
    time.sleep(1000)


@flow
def hangs_in_c(ready: str) -> None:
    """One call that holds the interpreter and never comes back to it: no signal handler runs."""
    _touch(ready)
    sum(range(10**15))


@flow
def is_busy(ready: str) -> None:
    _touch(ready)
    while True:
        pass


@flow
def waits(ready: str) -> str:
    """Until the file `ready` with `.go` behind is there."""
    _touch(ready)
    while not os.path.exists(f"{ready}.go"):  # noqa: PTH110 (a hundred looks a second)
        time.sleep(0.01)
    return "went"


def not_a_flow() -> None:
    """Just a function."""


def _touch(path: str) -> None:
    Path(path).touch()
