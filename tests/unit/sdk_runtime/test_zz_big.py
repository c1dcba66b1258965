"""Random flows, killed anywhere, edited at random and gone on with: each result is that of an undisturbed run of the new code.

A flow is a list of steps; a sub-flow has its steps as an argument, as code that changes with its body does. Steps call, submit and map tasks
over constants and over earlier results, by value and as futures.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import flow, task
from headway.futures import Future
from support.attempt_line import Line

QUICK = settings(max_examples=1500, deadline=None)
pytestmark = pytest.mark.timeout(3000)  # hundreds of short-lived threads on a busy machine
Program = list[Any]


def digest(*parts: object) -> int:
    """Small, and another number for other parts."""
    return zlib.crc32(repr(parts).encode())


@task(name="one")
def one(n: Any) -> int:
    return digest("one", n)


@task(name="two")
def two(a: Any, b: Any) -> int:
    return digest("two", a, b)


@task(name="one")
def other_one(n: Any) -> int:
    return digest("one, but changed", n)


@task(name="two")
def other_two(a: Any, b: Any) -> int:
    return digest("two, but changed", b, a)


OLD, NEW = (one, two), (other_one, other_two)


def _meant(argument: Any, made: list[Any]) -> Any:
    """A constant, or the result of an earlier step, counted from the last one."""
    back = argument[1] if isinstance(argument, list) else len(made)
    return made[-1 - back] if back < len(made) else argument


def _value(each: Any) -> Any:
    return each.result() if isinstance(each, Future) else each


def executing(tasks: Any) -> Any:
    """The flow whose steps are carried out by these tasks."""

    def run(steps: Program) -> list[Any]:
        made: list[Any] = []
        for kind, *arguments in steps:
            if kind == "flow":
                made.append(inner(*arguments))
            elif kind == "map":
                made.append(tasks[0].map(*arguments).result())
            else:
                values = [_meant(each, made) for each in arguments]
                called = tasks[len(values) - 1]
                made.append(called(*map(_value, values)) if kind == "call" else called.submit(*values))  # fmt: skip
        return [_value(each) for each in made]

    @flow(name="inner")
    def inner(steps: Program) -> list[Any]:
        return run(steps)

    @flow(name="outer")
    def outer(steps: Program) -> list[Any]:
        return run(steps)

    return outer


CONSTANT = st.integers(0, 2)
ARGUMENT = CONSTANT | st.integers(0, 3).map(lambda back: ["back", back])
FLAT = st.one_of(
    st.tuples(st.sampled_from(["call", "submit"]), ARGUMENT),
    st.tuples(st.sampled_from(["call", "submit"]), ARGUMENT, ARGUMENT),
    st.tuples(st.just("map"), st.lists(CONSTANT, max_size=5)),
).map(list)
DEEP = st.recursive(
    FLAT,
    lambda inner: st.tuples(st.just("flow"), st.lists(inner, max_size=3)).map(list),
    max_leaves=6,
)


def edited(draw: Any, steps: Program, step: Any) -> Program:
    """The same with some steps put in, taken out, replaced, moved, or changed inside."""
    steps = list(steps)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(steps)))
        what = draw(st.sampled_from(["insert", "delete", "replace", "swap", "inside"]))
        if what == "insert" or at == len(steps):
            steps.insert(at, draw(step))
        elif what == "delete":
            del steps[at]
        elif what == "replace":
            steps[at] = draw(step)
        elif what == "swap":
            steps[at], steps[0] = steps[0], steps[at]
        elif steps[at][0] == "flow":
            steps[at] = ["flow", edited(draw, steps[at][1], step)]
        elif steps[at][0] == "map":
            steps[at] = ["map", [draw(CONSTANT), *steps[at][1]]]
    return steps


def undisturbed(tasks: Any, steps: Program) -> Any:
    """As plain functions, without any engine."""
    return executing(tasks).fn(steps)


@QUICK
@given(st.lists(DEEP, max_size=6), st.data())
def test_killed_anywhere_and_edited_each_result_is_that_of_the_new_code(steps, data):
    with TemporaryDirectory() as folder:
        attempts = Line(Path(folder))
        for _ in range(data.draw(st.integers(1, 3))):
            attempts.attempt(executing(OLD), steps, keep=data.draw(st.integers(0, 20)))
            steps = edited(data.draw, steps, DEEP)
        assert attempts.attempt(executing(OLD), steps) == undisturbed(OLD, steps)
        # Once more: now all of it is in the journal.
        assert attempts.attempt(executing(OLD), steps) == undisturbed(OLD, steps)
        assert attempts.executed() == 0


@QUICK
@given(st.lists(DEEP, max_size=6), st.data())
def test_killed_anywhere_it_executes_what_the_journal_has_not_and_no_more(steps, data):
    with TemporaryDirectory() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(executing(OLD), steps)
        whole = len(attempts.ends)
        keep = data.draw(st.integers(0, whole))
        attempts = Line(Path(folder) / "again")
        attempts.folder.mkdir()
        attempts.attempt(executing(OLD), steps, keep=keep)
        assert attempts.attempt(executing(OLD), steps) == undisturbed(OLD, steps)
        assert attempts.executed() == whole - keep


@QUICK
@given(st.lists(FLAT, max_size=8), st.data())
def test_with_tasks_changed_too_each_result_is_that_of_the_new_code(steps, data):
    """`on_code_change="rerun"`: also what took an old result, by value or as a future, is made again."""
    with TemporaryDirectory() as folder:
        attempts = Line(Path(folder))
        attempts.attempt(executing(OLD), steps, keep=data.draw(st.integers(0, 20)))
        steps = edited(data.draw, steps, FLAT)
        # The attempt that changes the code may be killed as well.
        keep = data.draw(st.none() | st.integers(0, 20))
        found = attempts.attempt(executing(NEW), steps, keep=keep, on_code_change="rerun")
        assert found == undisturbed(NEW, steps)
        assert attempts.attempt(executing(NEW), steps, on_code_change="rerun") == found
