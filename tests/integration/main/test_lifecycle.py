"""A serving process: ready line, the end of its lifeline, signals, draining, breaking."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SERVING = Path(__file__).parents[2] / "support" / "serving.py"
DEADLINE = 30


class Serving:
    """The process and our ends of its pipes."""

    def __init__(self, mode: str) -> None:
        lifeline, self.lifeline = os.pipe()
        self.ready, ready = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, str(SERVING), str(lifeline), str(ready), mode],
            pass_fds=(lifeline, ready),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(lifeline)
        os.close(ready)
        self.port = int(self.process.stdout.readline())

    def get(self) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=DEADLINE) as answer:
            return answer.read()

    def close_lifeline(self) -> None:
        os.close(self.lifeline)
        self.lifeline = -1

    def end(self) -> tuple[str, str, int]:
        out, err = self.process.communicate(timeout=DEADLINE)
        return out, err, self.process.returncode


@pytest.fixture
def serve() -> Iterator[Callable[[str], Serving]]:
    made: list[Serving] = []

    def start(mode: str = "quick") -> Serving:
        made.append(Serving(mode))
        return made[-1]

    yield start
    for serving in made:
        if serving.process.poll() is None:
            serving.process.kill()
        serving.process.communicate(timeout=DEADLINE)
        os.close(serving.ready)
        if serving.lifeline >= 0:
            os.close(serving.lifeline)


def test_it_says_ready_and_serves(serve: Callable[..., Serving]) -> None:
    serving = serve()

    assert os.read(serving.ready, 100) == b"ready\n"
    assert os.read(serving.ready, 100) == b""
    assert serving.get() == b"hello"


@pytest.mark.parametrize("way", ["lifeline", "TERM", "INT"])
def test_it_leaves_in_order_when_told(serve: Callable[..., Serving], way: str) -> None:
    serving = serve()
    os.read(serving.ready, 100)
    if way == "lifeline":
        serving.close_lifeline()
    else:
        serving.process.send_signal(signal.Signals[f"SIG{way}"])

    why = "whoever started us let go" if way == "lifeline" else "a signal came"
    assert serving.end() == (f"draining: {why}\nleft\n", "", 0)


def test_a_request_under_way_is_answered_before_it_leaves(serve: Callable[..., Serving]) -> None:
    serving = serve("slow")
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(serving.get)
        assert serving.process.stdout.readline() == "asked\n"
        serving.close_lifeline()
        serving.process.stdin.write("go on\n")
        serving.process.stdin.flush()
        assert answer.result(DEADLINE) == b"hello"

    assert serving.end()[2] == 0


def test_a_second_signal_ends_it_on_the_spot(serve: Callable[..., Serving]) -> None:
    serving = serve("slow")
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(serving.get)
        assert serving.process.stdout.readline() == "asked\n"
        serving.close_lifeline()
        assert serving.process.stdout.readline().startswith("draining")
        serving.process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError, match=r"closed|reset|refused"):
            answer.result(DEADLINE)

    assert serving.end()[2] == 130


def test_what_breaks_ends_the_process_with_the_reason(serve: Callable[..., Serving]) -> None:
    out, err, code = serve("broken").end()

    assert (out, code) == ("left\n", 1)
    assert "a loop died" in err


def test_a_drain_that_does_not_end_is_cut_short(serve: Callable[..., Serving]) -> None:
    serving = serve("stuck")
    os.read(serving.ready, 100)
    serving.close_lifeline()
    out, err, code = serving.end()

    assert code == 1
    assert "not drained after 0.1 s" in out + err
