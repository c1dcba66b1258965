"""Whatever lies in the files of earlier attempts: a call gets its very value, or is executed again. Nothing is raised."""

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway import payloads
from headway.runtime.frames_log import encode_record
from headway.runtime.journal import Journal
from headway.runtime.results import ResultWriter
from support.flow_process import Project

_VALUES = {
    "numpy": np.arange(6).reshape(2, 3),
    "large": np.arange(40_000),
    "pandas": pd.DataFrame({"a": [1, None], "b": ["x", "y"]}),
    "polars": pl.DataFrame({"a": [1, None]}),
    "pyarrow": pa.table({"a": ["x", None]}),
    "json": {"a": (1, 2), "b": np.float32(1.5)},
    "bytes": b"abc",
}
_OFTEN = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _key(at: int) -> str:
    return f"{at:032x}"


def _end(at: int, result) -> dict:
    return {
        "type": "call.ended",
        "at_us": at,
        "call": _key(at),
        "parent": "root",
        "kind": "task",
        "name": "make",
        "started_at_us": at,
        "outcome": "completed",
        "tries": 1,
        "result": result,
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A sound attempt: its log, its large files, and the encoded form of each call's value."""
    run_dir = tmp_path_factory.mktemp("attempt")
    keep = ResultWriter(run_dir)
    encoded = [payloads.encode(value) for value in _VALUES.values()]
    frames = [_end(at, keep(payload)) for at, payload in enumerate(encoded)]
    write_log(run_dir / "frames.log", [json.dumps(frame).encode() for frame in frames])
    [large] = (run_dir / "results").iterdir()
    return SimpleNamespace(
        log=(run_dir / "frames.log").read_bytes(),
        frames=frames,
        large=large,
        large_bytes=large.read_bytes(),
        encoded=encoded,
    )


def write_log(path: Path, bodies: list[bytes]) -> None:
    path.write_bytes(b"".join(encode_record(n, body) for n, body in enumerate(bodies, 1)))


def assert_exact_or_absent(folder: Path, recorded) -> int:
    """How many are there."""
    journal = Journal.load([str(folder / "frames.log")], "")
    found = 0
    for at, payload in enumerate(recorded.encoded):
        kept = journal.find(_key(at))
        if kept is not None:
            found += 1
            assert payloads.encode(kept.value).digest == payload.digest
    return found


def put(folder: Path, name: str, data: bytes) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def test_a_sound_journal_has_everything(recorded, tmp_path):
    put(tmp_path, "frames.log", recorded.log)
    put(tmp_path, f"results/{recorded.large.name}", recorded.large_bytes)
    assert assert_exact_or_absent(tmp_path, recorded) == len(_VALUES)


@_OFTEN
@given(data=st.data())
def test_damaged_bytes_of_the_log_and_of_a_result_file(recorded, tmp_path, data):
    put(tmp_path, "frames.log", _damaged(data, recorded.log))
    put(tmp_path, f"results/{recorded.large.name}", _damaged(data, recorded.large_bytes))
    assert_exact_or_absent(tmp_path, recorded)


def _damaged(data, raw: bytes) -> bytes:
    copy = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, max(len(copy) - 1, 0)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "zero"])):
            case "flip" if copy:
                copy[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del copy[at:]
            case "insert":
                copy[at:at] = data.draw(st.binary(max_size=20))
            case _:
                copy[at : at + 50] = bytes(len(copy[at : at + 50]))
    return bytes(copy)


_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@_OFTEN
@given(data=st.data())
def test_whole_records_whose_result_says_something_else(recorded, tmp_path, data):
    """Behind a right checksum: what a bug, another version or a hand has written."""
    bodies = []
    for frame in recorded.frames:
        result = dict(frame["result"])
        field = data.draw(st.sampled_from(["codec", "size", "data", "file", "result", "call", ""]))
        strange = data.draw(
            st.one_of(
                _JSON, st.sampled_from(["numpy.ndarray", "pickle", "mars.rock", "../../x", "\0"])
            )
        )
        if field in ("result", "call"):
            frame = {**frame, field: strange}  # noqa: PLW2901 - one of another form
        elif field:
            frame = {**frame, "result": {**result, field: strange}}  # noqa: PLW2901 - as above
        bodies.append(json.dumps(frame).encode())
    write_log(tmp_path / "frames.log", bodies)
    put(tmp_path, f"results/{recorded.large.name}", recorded.large_bytes)
    journal = Journal.load([str(tmp_path / "frames.log")], "")
    for at in range(len(_VALUES)):
        journal.find(_key(at))  # raises nothing


@_OFTEN
@given(
    codec=st.sampled_from(
        [
            "numpy.ndarray",
            "pandas.value",
            "polars.DataFrame",
            "pyarrow.Table",
            "pyarrow.Array",
            "json",
        ]
    ),
    raw=st.binary(max_size=200),
)
def test_no_bytes_kill_a_reader(codec, raw):
    """Under a right digest, even: whatever it raises is an error that can be caught."""
    with contextlib.suppress(Exception):  # any of them is absence for the journal
        payloads.decode(payloads.Payload(codec, raw))


def test_a_resumed_run_goes_on_with_what_is_whole(tmp_path):
    project = Project(tmp_path)
    project.write(
        """
import numpy as np

@task
def make(n):
    return np.arange(n)

@flow
def main():
    return int(sum(make(n).sum() for n in (3, 50_000, 60_000)))
"""
    )
    first = project.run()
    assert first.outcomes() == ["completed"] * 3
    torn, foreign = sorted((project.runs / "1" / "results").iterdir())
    torn.write_bytes(torn.read_bytes()[:-1])
    foreign.write_bytes(b"\x93NUMPY of nobody")
    second = project.run()
    assert second.outcomes() == ["skipped", "completed", "completed"]
    assert second.ended["result"] == first.ended["result"]
    assert project.run().outcomes() == ["skipped"] * 3
