"""A flow process that says what no SDK would say: its supervisor goes on to the exit, and the exit says how the attempt ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import corpus
from headway.runtime.frames_log import MAX_FRAME, read
from headway_agent.connection.encoder import Encoder
from headway_agent.connection.permits import permits_of
from headway_agent.spool.frames import FactLog, append_last
from headway_api.event.v1 import attempt_pb2
from support.fake_control_plane import ALL_PERMITS

pytestmark = pytest.mark.process

# A supervisor in a process of its own; the flow process writes what it is given, and ends well.
PROGRAM = """
import sys
from pathlib import Path
from headway.runtime.frames_log import Writer
from headway.runtime.start import no_faults
from headway.runtime.supervisor import supervise

run_dir = Path(sys.argv[1])
said = (run_dir / "said").read_bytes()
start = {"run": "r", "fence": 1, "run_dir": str(run_dir), "root": str(run_dir), "env": {}}
def child(start, sock):
    sock.sendall(said)
    return 0
supervise(start, Writer.create(run_dir / "frames.log"), sdk="0", child=child, faults=no_faults)
"""
ENDED = {"type": "attempt.ended", "outcome": "completed"}


def framed(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + raw


def said(*frames: object) -> bytes:
    return b"".join(framed(json.dumps(frame).encode()) for frame in frames)


def supervise(run_dir: Path, spoken: bytes) -> dict:
    (run_dir / "said").write_bytes(spoken)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(run_dir)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    facts = [frame for _, frame in read(run_dir / "frames.log")]
    assert facts[-1]["type"] == "attempt.exited"
    return facts[-1]


@pytest.mark.parametrize(
    ("spoken", "outcome"),
    [
        (said({"type": ["call.ended"]}, {"type": {}}, [], None, ENDED), "completed"),
        (framed(b"[" * 200_000) + said(ENDED), "completed"),
        (framed(json.dumps({**ENDED, "result": {"data": "\ud800"}}).encode()), "completed"),
        (said({**ENDED, "outcome": "splendid"}), "crashed"),
        (said({**ENDED, "outcome": ["completed"]}), "crashed"),
        (said({**ENDED, "error": {"message": "x" * (MAX_FRAME - 200)}}), "completed"),
        (framed(json.dumps({"type": "log", "text": "\ud800\0", "at_us": {"a": []}, "level": [], "logger": "x" * 900_000}).encode()) + said(ENDED), "completed"),
        (framed(json.dumps(ENDED).encode("utf-16")), "crashed"),
    ],
    ids=["no type", "deep", "surrogate", "outcome", "list", "large", "log", "utf-16"],
)  # fmt: skip
def test_the_exit_is_told_whatever_was_said(tmp_path, spoken, outcome):
    exited = supervise(tmp_path, spoken)
    assert exited["outcome"] == outcome
    raw = json.dumps(exited).encode()
    message = attempt_pb2.AttemptExited.FromString(
        Encoder(permits_of(ALL_PERMITS)).encode(raw).payload
    )
    assert message.outcome == getattr(attempt_pb2, f"ATTEMPT_OUTCOME_{outcome.upper()}")
    output = tmp_path / "output.log"  # comes with its first line
    for line in output.read_bytes().splitlines() if output.exists() else ():
        assert type(json.loads(line)["at_us"]) is int
        assert len(line) < 100_000


@pytest.mark.parametrize("entry", corpus.load("frames"), ids=lambda entry: entry.path.stem)
def test_what_the_fuzzer_found_is_told_too(tmp_path, entry):
    from fuzz.frames import _framed

    supervise(tmp_path, b"".join(map(_framed, entry.script)))


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"attempt.exited"', b"[" * 100_000 + b'"attempt.e'])
def test_the_agent_encodes_what_is_no_frame_as_dropped(raw):
    assert Encoder(permits_of(ALL_PERMITS)).encode(raw).type == "FactDropped"


def test_an_exit_without_an_outcome_is_a_crash():
    encoded = Encoder(permits_of(ALL_PERMITS)).encode(
        b'{"type": "attempt.exited", "outcome": "splendid"}'
    )
    assert (
        attempt_pb2.AttemptExited.FromString(encoded.payload).outcome
        == attempt_pb2.ATTEMPT_OUTCOME_CRASHED
    )


def test_the_exit_that_the_agent_writes_is_no_larger_than_a_record_can_be(tmp_path):
    path = tmp_path / "frames.log"
    path.touch()
    error = {"class": "E", "message": "x" * MAX_FRAME}
    append_last(path, {"type": "attempt.exited", "outcome": "failed", "error": error})
    log = FactLog(path)
    log.scan()
    assert log.exited == {"type": "attempt.exited", "outcome": "failed"}
    assert os.path.getsize(path) < 200  # noqa: PTH202
