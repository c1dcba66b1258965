"""Values with a codec of their own, in runs: kept, skipped, too large, damaged, unknown."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import headway
from headway import payloads
from headway.payloads import Payload
from headway.runtime.results import ResultReader, ResultWriter
from support.flow_process import Project

_PACKAGES = ("numpy", "pandas", "polars", "pyarrow")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_frames_are_skipped_by_the_next_attempt_and_serve_as_arguments(project: Project):
    project.write(
        """
import numpy as np
import pandas as pd

@task
def load(n):
    return pd.DataFrame({"a": np.arange(n)})

@task
def total(frame):
    return frame["a"].sum()

@flow
def main():
    # The second frame is equal to the first call's result, and not the result of a call.
    values = [total(load(3)), total(pd.DataFrame({"a": np.arange(100_000)})), total(load(100_000))]
    assert [type(v) for v in values] == [np.int64] * 3
    return values[0]
"""
    )
    first = project.run()
    assert first.outcome == "completed"
    codecs = [f["result"]["codec"] for f in first.of("call.ended", "load")]
    assert codecs == ["pandas.value"] * 2
    assert "file" in first.of("call.ended", "load")[1]["result"]
    assert project.run().outcomes() == ["skipped"] * 5


def test_a_result_that_is_too_large_fails_its_call(project: Project):
    project.write(
        """
@task(retries=3)
def big():
    return bytes(5000)

@flow(on_failure=[lambda change: None])
def main(whole: bool = False):
    if whole:
        return bytes(5000)
    try:
        big()
    except ResultTooLarge as error:
        return [error.limit, error.call]
"""
    )
    caught = project.run(result_max=4096)
    assert caught.outcome == "completed"
    [ended] = caught.of("call.ended")
    assert (ended["outcome"], ended["tries"]) == ("failed", 1)
    assert ended["error"]["class"] == "headway.ResultTooLarge"
    assert "'big'" in ended["error"]["message"] or "big" in ended["error"]["message"]
    assert "HEADWAY_AGENT_RESULT_MAX" in ended["error"]["message"]
    assert caught.ended["result"]["data"] == '[4096,"big"]'
    whole = project.run({"whole": True}, result_max=4096)
    assert whole.outcome == "failed"
    assert "main" in whole.ended["error"]["message"]


def test_nothing_is_imported_before_it_is_needed():
    code = (
        "import sys, headway, headway.payloads as p; p.encode({'a': [1, (2,)]});"
        f"print([m for m in {_PACKAGES!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "payload",
    [
        Payload("numpy.ndarray", b""),
        Payload("numpy.ndarray", b"\x93NUMPY\x03\x00\xff\xff\xff\xff"),
        Payload("pandas.value", b"headway pandas 1\n\0\0"),
        Payload("pandas.value", b"headway pandas 2\n"),
        Payload("polars.DataFrame", b"ARROW1"),
        Payload("pyarrow.Table", b"\xff\xff\xff\xff"),
        Payload("numpy.unheard", b""),
        Payload("geopandas.frame", b""),
        Payload("json", b'{"$":"numpy.ndarray","v":"no base64"}'),
        Payload("json", b'{"$":"pandas.unheard","v":1}'),
    ],
    ids=lambda p: p.codec,
)
def test_what_is_damaged_or_unknown_raises(payload):
    with pytest.raises(Exception):  # noqa: B017, PT011 - any error is absence for the journal
        payloads.decode(payload)


def test_objects_in_a_file_are_not_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("gone-off").touch, ())

    file = tmp_path / "bomb.npy"
    np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        payloads.decode(Payload("numpy.ndarray", file.read_bytes()))
    assert not (tmp_path / "gone-off").exists()


def test_large_values_are_files_that_their_package_reads(tmp_path):
    array = np.arange(100_000)
    told = ResultWriter(tmp_path)(payloads.encode(array))
    assert told["codec"] == "numpy.ndarray"
    assert np.array_equal(np.load(tmp_path / "results" / told["file"]), array)
    found = ResultReader([tmp_path], "")(told)
    assert np.array_equal(payloads.decode(found.payload), array)


def test_small_values_travel_in_their_frame(tmp_path):
    told = ResultWriter(tmp_path)(payloads.encode(np.arange(3)))
    assert base64.b64decode(json.loads(json.dumps(told))["data"]).startswith(b"\x93NUMPY")


@pytest.mark.parametrize(
    "value",
    [
        np.arange(10_000),
        pd.DataFrame({"a": np.arange(10_000)}),
        b"x" * 10_000,
        "x" * 10_000,
    ],
    ids=lambda v: type(v).__name__,
)
def test_too_large_a_value(value):
    with pytest.raises(headway.ResultTooLarge) as raised:
        payloads.encode(value, most=1_000)
    assert raised.value.limit == 1_000
    assert payloads.encode(value, most=1_000_000).data


def test_a_registered_codec_may_give_an_array():
    class Track:
        def __init__(self, points):
            self.points = points

    headway.register_codec(Track, "test-track", lambda t: t.points, Track)
    made = payloads.decode(payloads.encode({"it": Track(np.ones((2, 2)))}))["it"]
    assert np.array_equal(made.points, np.ones((2, 2)))


@pytest.mark.parametrize("name", ["numpy.mine", "pandas", "dict"])
def test_names_of_ours_are_taken(name):
    with pytest.raises(ValueError, match="is taken"):
        headway.register_codec(type("T", (), {}), name, str, str)


def test_a_package_that_is_not_as_expected_has_no_codec(tmp_path: Path):
    """As one of another major may be: the call goes on, and its value is not kept."""
    (tmp_path / "polars.py").write_text("class DataFrame: pass\n")
    code = (
        "import polars, headway; from headway import payloads\n"
        "for _ in range(2):\n"
        "    try: payloads.encode(polars.DataFrame())\n"
        "    except headway.UnserializableResult as error: print(error)\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{Path(headway.__file__).parents[1]}"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, env=env
    )
    assert done.stdout.count("polars.DataFrame cannot be kept") == 2
    assert done.stderr.count("values of polars have no codec") == 1


def test_runs_in_memory_keep_arrays_too(headway_run):
    @headway.task
    def load():
        return np.arange(100_000)

    @headway.flow
    def main():
        return load().sum()

    run = headway_run(main)
    assert run.call("load").value[-1] == 99_999
