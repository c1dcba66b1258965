"""The judge of the kill matrix is judged: its reader reads what the writer writes, and each rule finds what breaks it."""

import json
from typing import Any

import pytest

from headway.runtime import frames_log
from support import predicted, second_reader
from support.effects import Mark
from support.predicted import Flow
from support.second_reader import Attempt

FLOW = Flow({"step-0": 1}, "below-", {"write-a": True}, {"step-0": "write-a"}, at_once=1)
KEPT = {"codec": "json", "size": 1, "digest": "", "data": "1"}
BAD = {"class": "ValueError", "message": "", "traceback": []}


def ended(call: str, name: str, parent: str = "root", kind: str = "task", **more: Any) -> Any:
    return {
        "type": "call.ended", "call": call, "parent": parent, "kind": kind, "name": name,
        "outcome": "completed", "tries": 1, "result": KEPT, **more,
    }  # fmt: skip


def skipped(call: str, name: str, **more: Any) -> Any:
    return ended(call, name, outcome="skipped", tries=0, **more)


def attempt(fence: int, *frames: Any, cause: str = "") -> Attempt:
    made = Attempt(fence)
    for n, frame in enumerate([*frames, {"type": "attempt.exited", "cause": cause}], start=1):
        made.take(n, frame)
    return made


def mark(fence: int, what: str, call: str, number: int = 1) -> Mark:
    return Mark("run", fence, what, call, number)


STEP, WRITE, COMMIT, NODE = (
    ended("s", "step"),
    ended("w", "write", "t"),
    ended("c", "on_commit write", "t"),
    ended("t", "load", kind="transaction"),
)
WHOLE = [attempt(1, STEP, WRITE, COMMIT, NODE)]
MARKS = [mark(1, "step-0", "s"), mark(1, "write-a", "w"), mark(1, "commit-a", "c")]
AGAIN = attempt(2, skipped("s", "step"), skipped("w", "write", parent="t"), NODE)


def found(marks: list[Mark], attempts: list[Attempt]) -> str:
    return "\n".join(predicted.violations(FLOW, marks, attempts))


def test_a_run_by_the_rules_is_in_order():
    assert found(MARKS, WHOLE) == ""
    assert found(MARKS, [*WHOLE, AGAIN]) == ""


@pytest.mark.parametrize(
    ("marks", "attempts", "told"),
    [
        ([*MARKS, mark(2, "step-0", "s")], [*WHOLE, AGAIN], "executed again in attempt 2"),
        (MARKS, [*WHOLE, attempt(2, STEP)], "told as completed in attempt 2"),
        (MARKS, [*WHOLE, attempt(2, skipped("x", "step"))], "the journal did not hold it"),
        ([*MARKS, mark(1, "step-0", "s")], WHOLE, "ran 2 times"),
        (MARKS, [attempt(1, {**STEP, "tries": 2}, WRITE, COMMIT, NODE)], "try 2 of step-0"),
        ([*MARKS, mark(2, "step-0", "z")], [*WHOLE, AGAIN], "without telling of it"),
        ([*MARKS, mark(2, "step-0", "z")], [*WHOLE, attempt(2, ended("z", "step"))], "2 keys"),
        (MARKS[1:], [attempt(1, WRITE, COMMIT, NODE)], "0 keys"),
        (MARKS, [attempt(1, STEP, WRITE, NODE)], "and is committed"),
        (MARKS, [attempt(1, STEP, WRITE, COMMIT)], "not committed"),
        (MARKS, [attempt(1, cause="supervisor lost"), attempt(2, STEP, WRITE, COMMIT, NODE)], "before step-0 was durable"),
        ([*MARKS, mark(1, "undo-a", "u")], [attempt(1, STEP, WRITE, COMMIT, ended("u", "undo", "t"), NODE)], "before the rollback was told"),
    ],
)  # fmt: skip
def test_each_rule_finds_what_breaks_it(marks: list[Mark], attempts: list[Attempt], told: str):
    assert told in found(marks, attempts)


def test_a_range_is_read_as_the_ends_that_it_stands_for():
    one = {
        "type": "calls.ended", "parent": "root", "kind": "task", "name": "step", "outcome": "completed",
        "codec": "json", "calls": "0" * 32 + "1" * 32, "data": ["1", "2"],
    }  # fmt: skip
    whole = Attempt(1)
    whole.take(7, one)
    assert [(end.n, end.call[0], end.tries) for end in whole.ends] == [(7, "0", 1), (7, "1", 1)]
    assert whole.kept == {"0" * 32, "1" * 32}


def test_both_readers_read_the_same(tmp_path):
    folder = tmp_path / "1"
    folder.mkdir()
    writer = frames_log.Writer.create(folder / "frames.log")
    frames = [STEP, {**STEP, "call": "z", "outcome": "failed", "error": BAD, "result": None}]
    writer.append([json.dumps(frame).encode() for frame in frames])
    writer.commit()
    writer.close()
    with (folder / "frames.log").open("ab") as file:
        file.write(b"\0\0\0\5torn")
    (read,) = second_reader.attempts({1: folder})
    assert [end.call for end in read.ends] == [f["call"] for _, f in frames_log.read(folder / "frames.log")]  # fmt: skip
    assert read.kept == {"s"}
    with pytest.raises(AssertionError, match=r"does not know call\.split"):
        read.take(3, {"type": "call.split"})
