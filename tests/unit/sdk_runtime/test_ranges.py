"""A range stands for its facts exactly: what is folded unfolds, and a journal cannot tell the difference."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.payloads import NONE, Payload, encode
from headway.runtime.frames_log import MAX_FRAME, Writer, encode_frame
from headway.runtime.journal import Journal
from headway.runtime.ranges import FOLD_FROM, MOST_CALLS, SMALL, Folding, unfold
from headway.runtime.results import ResultReader


def key(n: int) -> str:
    return f"{n:032x}"


def told(payload: Payload) -> dict[str, object]:
    said: dict[str, object] = {
        "codec": payload.codec,
        "size": len(payload.data),
        "digest": payload.digest,
    }
    if payload.codec == "none":
        return said
    inline = payload.data if payload.codec == "json" else base64.b64encode(payload.data)
    return {**said, "data": inline.decode()}


def ended(n: int, payload: Payload = NONE, **other: object) -> dict[str, object]:
    return {
        "type": "call.ended",
        "at_us": 2_000 + n,
        "call": key(n),
        "parent": "root",
        "kind": "task",
        "name": "load",
        "started_at_us": 1_000 + n,
        "outcome": "completed",
        "tries": 1,
        "result": told(payload),
        **other,
    }


PAYLOADS = st.one_of(
    st.integers().map(encode),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(encode),
    st.binary(max_size=20).map(encode),
    st.just(NONE),
)
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["load", "store"]),
        "parent": st.sampled_from(["root", key(999)]),
        "started_at_us": st.integers(0, 1 << 50),
        "at_us": st.integers(0, 1 << 50),
        "code": st.sampled_from(["a1", "b2"]),
        "outcome": st.sampled_from(["completed", "failed", "skipped"]),
        "tries": st.integers(0, 2),
        "added_later": st.just(1),
        "run_name": st.just("one"),
        "ref": st.just(key(5)),
    },
)


@st.composite
def facts(draw: st.DrawFn) -> list[dict[str, object]]:
    """Mostly such as are folded, completed or skipped, with some others among them."""
    count = draw(st.integers(0, 60))
    rare = draw(st.booleans())
    usual = st.sampled_from([{}, {"outcome": "skipped", "tries": 0}])
    others = st.one_of(usual, OTHERS) if rare else usual
    return [ended(n, draw(PAYLOADS), **draw(others)) for n in range(count)]


def folded(frames: list[dict[str, object]]) -> list[bytes]:
    folding, out = Folding(), []
    for frame in frames:
        raw = encode_frame(frame)
        if not folding.take(frame, raw):
            out.append(raw)
        if folding.is_full:
            out += folding.release()
    return out + folding.release()


def unfolded(raws: list[bytes]) -> list[dict[str, object]]:
    frames: list[dict[str, object]] = []
    for raw in raws:
        frame = json.loads(raw)
        frames += unfold(frame) if frame["type"] == "calls.ended" else [frame]
    return frames


@settings(deadline=None)
@given(facts())
def test_what_is_folded_unfolds(frames):
    assert sorted(unfolded(folded(frames)), key=lambda f: f["call"]) == frames


@settings(deadline=None, max_examples=60)
@given(facts(), st.sampled_from(["resume", "retry", "rerun"]), st.data())
def test_a_journal_of_ranges_is_the_journal_of_their_facts(tmp_path_factory, frames, verb, data):
    cuts = []
    if verb != "resume" and frames:
        chosen = data.draw(st.sampled_from(frames))
        at_us = chosen["started_at_us"] if verb == "rerun" else 0
        around = [chosen["parent"]]
        cuts = [{"logs": 1, "call": chosen["call"], "around": around, "at_us": at_us}]
    folder = tmp_path_factory.mktemp("logs")
    ranges = written(folder / "ranges", folded(frames))
    singles = written(folder / "singles", [encode_frame(frame) for frame in frames])
    one = Journal.load([str(ranges)], "", cuts)
    other = Journal.load([str(singles)], "", cuts)
    assert len(one) == len(other)
    for frame in frames:
        call = str(frame["call"])
        assert one.find(call) == other.find(call)
        assert one.had(call) == other.had(call)


def written(path: Path, raws: list[bytes]) -> Path:
    writer = Writer.create(path)
    writer.append(raws)
    writer.commit()
    writer.close()
    return path


def test_few_calls_stay_single():
    frames = [ended(n, encode(n)) for n in range(FOLD_FROM - 1)]
    assert folded(frames) == [encode_frame(frame) for frame in frames]
    assert len(folded([*frames, ended(99, encode(1))])) == 1


def test_a_range_has_a_most_of_calls_and_fits_a_frame():
    large = encode("x" * (SMALL - 400))
    for frames in (
        [ended(n, encode(n)) for n in range(2 * MOST_CALLS)],
        [ended(n, large) for n in range(MOST_CALLS)],
    ):
        raws = folded(frames)
        assert max(map(len, raws)) <= MAX_FRAME
        assert max(len(json.loads(raw)["durations_us"]) for raw in raws) <= MOST_CALLS
        assert len(unfolded(raws)) == len(frames)


@pytest.mark.parametrize(
    "other",
    [
        {"outcome": "failed"},
        {"outcome": "skipped", "tries": 1},
        {"outcome": ["completed"]},
        {"tries": 2},
        {"durable": "sync"},
        {"cause": "cached"},
        {"cache": {}},
        {"ref": key(1)},
        {"run_name": "mine"},
        {"kind": "wait"},
        {"added_later": 1},
        {"call": "root"},
        {"at_us": True},
        {"result": {**told(encode(1)), "file": "f"}},
        {"result": {**told(encode("x" * SMALL))}},
        {"result": {**told(NONE), "data": ""}},
        {"result": {"codec": "json", "size": 1, "digest": ""}},
        {"parent": None},
        {"name": ["load"]},
    ],
    ids=str,
)
def test_what_says_more_than_that_it_completed_stays_single(other):
    frame = ended(1, encode(1), **other)
    assert not Folding().take(frame, encode_frame(frame))


@pytest.mark.parametrize(
    "change",
    [
        {"calls": []},
        {"calls": key(1) * 17 + "a"},
        {"started_deltas_us": ["1"] * 20},
        {"started_deltas_us": None},
        {"parent": []},
        {"codec": 7},
        {"data": [1] * 20},
        {"data": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("cuts", [[], [{"logs": 1, "call": key(1), "around": [], "at_us": 5}]])
def test_a_range_of_another_form_keeps_nothing_and_harms_nobody(tmp_path, change, cuts):
    [raw] = folded([ended(n, encode(n)) for n in range(20)])
    broken = encode_frame({**json.loads(raw), **change})
    path = written(tmp_path / "log", [broken, encode_frame(ended(50, encode(50)))])
    journal = Journal.load([str(path)], "", cuts)
    assert [journal.find(key(n)) for n in range(20)] == [None] * 20
    assert cuts or journal.find(key(50)).value == 50


def test_names_that_look_like_a_range_are_none():
    frames = [
        ended(n, encode('"calls":"00" {"type":"calls.ended"'), name="calls.ended") for n in (1, 2)
    ]
    journal = Journal.of(map(encode_frame, frames), ResultReader([], ""))
    assert journal.find(key(2)) is not None
