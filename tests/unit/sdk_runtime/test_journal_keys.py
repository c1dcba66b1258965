"""Journal keys under all that may happen between two attempts: what is skipped is right, and no more is executed than must be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headway import flow, task
from support.attempt_line import Line

ITEMS = st.lists(st.integers(0, 3), max_size=12)
QUICK = settings(max_examples=60, deadline=None)


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
