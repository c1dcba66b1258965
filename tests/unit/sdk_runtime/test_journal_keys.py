"""Journal keys under all that may happen between two attempts: what is skipped is right, and no more is executed than must be."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headway import flow, task
from headway.context import Call
from headway.digests import ROOT
from headway.futures import resolve
from headway.pool import Pool
from headway.runtime.cancellation import Cancellation
from headway.runtime.engine import JournalEngine
from headway.runtime.failures import ErrorDescriber
from headway.runtime.frames_log import Writer
from headway.runtime.journal import Journal
from headway.runtime.reporter import Reporter
from headway.runtime.results import ResultWriter

ITEMS = st.lists(st.integers(0, 3), max_size=12)
QUICK = settings(max_examples=60, deadline=None)


class Frames:
    """Stands where the supervisor is."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, frame: dict[str, Any]) -> None:
        self.sent.append(json.loads(json.dumps(frame)))

    def wait_durable(self, call: str) -> None: ...


class Line:
    """The attempts of one run, in this process; each may find only the first facts of the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs: list[str] = []

    def attempt(self, body: Any, *args: Any, keep: int | None = None, **options: Any) -> Any:
        fence = len(self.logs) + 1
        run_dir = self.folder / str(fence)
        run_dir.mkdir()
        frames = Frames()
        reporter = Reporter(frames, lambda: fence, ErrorDescriber(""), ResultWriter(run_dir))
        cuts = options.pop("cuts", ())
        engine = JournalEngine(
            {"run": "r", "fence": fence, "run_name": "", "flow": "", "deployment": ""},
            reporter,
            Journal.load(self.logs, "", cuts),
            Cancellation(),
            Pool(4, daemon=True),
            Random(fence),
            "salt",
            **options,
        )
        root = Call(engine, ROOT, ROOT, "flow", body.name, on_loop=False)
        value = resolve(engine.run_root(root, body, args, {}))
        self.ends = [frame for frame in frames.sent if frame["type"] == "call.ended"]
        log = run_dir / "frames.log"
        writer = Writer.create(log)
        writer.append(json.dumps(frame).encode() for frame in self.ends[:keep])
        writer.commit()
        writer.close()
        self.logs.append(str(log))
        return value

    def executed(self) -> int:
        return sum(frame["outcome"] == "completed" for frame in self.ends)


def line() -> Any:
    return TemporaryDirectory()


@task(name="step")
def old(n: int) -> list[Any]:
    return ["old", n]


@task(name="step")
def new(n: int) -> list[Any]:
    return ["new", n, n]


@task
def total(parts: list[Any]) -> int:
    return len(parts)


def mapping(step: Any) -> Any:
    @flow(name="mapping")
    def mapping(items: list[int]) -> list[Any]:
        return step.map(items).result()

    return mapping


@QUICK
@given(ITEMS, st.data())
def test_equal_calls_of_a_threaded_map_each_have_their_result(items, data):
    keep = data.draw(st.integers(0, len(items)))
    with line() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(mapping(old), items, keep=keep)
        assert attempts.attempt(mapping(old), items) == [["old", n] for n in items]
        assert attempts.executed() == len(items) - keep
        attempts.attempt(mapping(old), items)
        assert attempts.executed() == 0


@QUICK
@given(ITEMS, st.integers(0, 4), st.data())
def test_an_item_more_anywhere_executes_itself_alone(items, added, data):
    longer = list(items)
    longer.insert(data.draw(st.integers(0, len(items))), added)
    with line() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(mapping(old), items)
        assert attempts.attempt(mapping(old), longer) == [["old", n] for n in longer]
        assert attempts.executed() == 1


@QUICK
@given(ITEMS, ITEMS)
def test_another_list_executes_what_it_has_more(before, after):
    with line() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(mapping(old), before)
        assert attempts.attempt(mapping(old), after) == [["old", n] for n in after]
        assert attempts.executed() == (Counter(after) - Counter(before)).total()


@QUICK
@given(ITEMS, st.data())
def test_results_of_changed_code_are_never_mixed_up(items, data):
    keep = data.draw(st.integers(0, len(items)))
    with line() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(mapping(old), items, keep=keep)
        again = attempts.attempt(mapping(new), items, on_code_change="rerun")
        assert again == [["new", n, n] for n in items]
    with line() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(mapping(old), items, keep=keep)
        found = attempts.attempt(mapping(new), items, on_code_change="trust")
        assert all(
            each in (["old", n], ["new", n, n]) for each, n in zip(found, items, strict=True)
        )
        assert sum(each[0] == "old" for each in found) == keep


@QUICK
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_whoever_took_a_result_that_is_made_again_is_made_again(items, data):
    @flow(name="chained")
    def chained(items: list[int]) -> int:
        parts = [old.submit(n) for n in items]
        return total(parts)

    with line() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(chained, items)
        made = [frame for frame in attempts.ends if frame["name"] == "step"]
        cut = {
            "logs": 1,
            "call": data.draw(st.sampled_from(made))["call"],
            "around": [],
            "at_us": 0,
        }
        assert attempts.attempt(chained, items, cuts=[cut]) == len(items)
        assert Counter(
            frame["name"] for frame in attempts.ends if frame["outcome"] == "completed"
        ) == {
            "step": 1,
            "total": 1,
        }
        # The next attempt of the forked run keeps what this one made.
        attempts.attempt(chained, items, cuts=[cut])
        assert attempts.executed() == 0
