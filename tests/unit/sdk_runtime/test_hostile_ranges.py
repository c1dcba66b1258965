"""Ranges in a journal that say something else than they should, or end in the middle: a new attempt goes on, and executes what it cannot read."""

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from headway.payloads import encode
from headway.runtime.frames_log import Writer
from headway.runtime.journal import Journal
from headway.runtime.ranges import unfold

KEYS = [f"{n:032x}" for n in range(1, 4)]
RANGE = {
    "type": "calls.ended",
    "at_us": 2_000,
    "parent": "root",
    "kind": "task",
    "name": "load",
    "outcome": "completed",
    "codec": "json",
    "size": 3,
    "calls": "".join(KEYS),
    "started_deltas_us": [1_000, 1, 1],
    "durations_us": [1, 2, 3],
    "data": ["1", "2", "3"],
}
CUTS = [
    [],
    [{"logs": 1, "call": KEYS[1], "around": [], "at_us": 0}],
    [{"logs": 1, "call": "", "around": [KEYS[0]], "at_us": 1_002}],
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.just("0" * 31),
    st.just("".join(reversed(KEYS))),
)
ANYTHING = st.one_of(
    LEAVES, st.lists(LEAVES, max_size=4), st.dictionaries(st.text(max_size=3), LEAVES, max_size=2)
)
HOSTILE = st.dictionaries(st.sampled_from(sorted(RANGE.keys() - {"type"})), ANYTHING, max_size=3)


def write(folder: Path, frame: object) -> Path:
    log = folder / "frames.log"
    writer = Writer.create(log)
    # A range is told by its first bytes.
    writer.append([json.dumps(frame).encode()])
    writer.commit()
    writer.close()
    return log


def values(log: Path, cut: int) -> list[object]:
    journal = Journal.load([str(log)], "", CUTS[cut])
    return [kept and kept.value for kept in map(journal.find, KEYS)]


@settings(deadline=None, max_examples=150)
@given(changes=HOSTILE, left_out=st.sampled_from([None, *RANGE]), cut=st.integers(0, 2))
def test_a_value_is_that_of_its_call_or_none(
    changes: dict[str, object], left_out: str | None, cut: int
):
    frame = {name: value for name, value in (RANGE | changes).items() if name != left_out}
    with tempfile.TemporaryDirectory() as folder:
        found = values(write(Path(folder), frame), cut)
    if not changes.keys() & {"calls", "data", "codec"}:
        assert all(value in (None, n) for n, value in enumerate(found, 1)), found


@settings(deadline=None, max_examples=60)
@given(data=st.data(), cut=st.integers(0, 2))
def test_a_log_that_ends_anywhere_holds_all_of_a_range_or_nothing(data: st.DataObject, cut: int):
    with tempfile.TemporaryDirectory() as folder:
        log = write(Path(folder), RANGE)
        whole = log.read_bytes()
        whole_values = values(log, cut)
        log.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        assert values(log, cut) == [None] * 3
    assert whole_values == [[1, 2, 3], [1, None, 3], [None, 2, None]][cut]


def test_what_it_unfolds_to_is_what_was_folded():
    assert [frame["result"]["data"] for frame in unfold(RANGE)] == [
        encode(n).data.decode() for n in (1, 2, 3)
    ]
