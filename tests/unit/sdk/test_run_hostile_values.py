"""Values that raise wherever they are touched, contain themselves or have no end of depth: no run is stuck or lost over one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway import nesting
from support.flow_process import Project

FLOWS = """
import threading

class Raising:
    def __repr__(self): raise RuntimeError("repr")
    def __str__(self): raise RuntimeError("str")
    def __eq__(self, other): raise RuntimeError("eq")
    def __hash__(self): raise RuntimeError("hash")
    def __bool__(self): raise RuntimeError("bool")
    def __len__(self): raise RuntimeError("len")
    def __iter__(self): raise RuntimeError("iter")
    def __reduce_ex__(self, protocol): raise RuntimeError("reduce")
    def __getattr__(self, name): raise RuntimeError(name)
    def __del__(self): raise RuntimeError("del")

class Closed:
    def __getattribute__(self, name): raise RuntimeError(name)

class NoHash(type):
    __hash__ = None

class Unhashed(metaclass=NoHash):
    pass

class Unspeakable(Exception):
    def __str__(self): raise RuntimeError("str")
    def __repr__(self): raise RuntimeError("repr")

class Circular(Exception):
    def __init__(self):
        self.__cause__ = self.__context__ = self

def cyclic():
    value = {"a": [1]}
    value["a"].append(value)
    return value

def deep():
    value = []
    for _ in range(100_000):
        value = [value, 1]
    return value

MAKE = {
    "raising": Raising, "closed": Closed, "unhashed": Unhashed, "cyclic": cyclic, "deep": deep, "lock": threading.Lock,
    "class": lambda: Raising, "generator": lambda: (n for n in range(3)), "huge": lambda: 10**100_000,
    "surrogates": lambda: {"\\ud800": "\\udfff"}, "keys": lambda: {(1, None): {1.5, "x"}, float("nan"): b""},
    "unspeakable": Unspeakable, "circular": Circular,
}

@task
def give(name):
    return MAKE[name]()

@task(result="pickle")
def give_pickled(name):
    return MAKE[name]()

@task(cache=INPUTS)
def take(value):
    return "taken"

@task
def fail(name):
    raise ValueError(MAKE[name]())

@flow
def main(name):
    value = give(name)
    give_pickled(name)
    assert take(value) == take(value=value) == take.submit(value).result() == "taken"
    assert take.map([value, value]).result() == ["taken", "taken"]
    try:
        fail(name)
    except ValueError:
        pass
    return "whole"

@flow
def returns(name):
    return MAKE[name]()

@flow
def fails(name):
    error = MAKE[name]()
    raise error if isinstance(error, Exception) else ValueError(error)
"""
NAMES = [
    *("raising", "closed", "unhashed", "cyclic", "deep", "lock", "class", "generator"),
    *("huge", "surrogates", "keys", "unspeakable", "circular"),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write(FLOWS)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_calls_with_it_complete_and_the_next_attempt_skips_what_was_kept(
    project: Project, name: str
):
    first = project.run({"name": name})
    assert (first.outcome, first.ended["result"]["data"]) == ("completed", '"whole"'), first.ended
    again = project.run({"name": name})
    assert again.ended["result"]["data"] == '"whole"'


@pytest.mark.parametrize("name", NAMES)
def test_runs_that_return_it_complete_and_those_that_raise_it_fail(project: Project, name: str):
    assert project.run({"name": name}, entrypoint="flows:returns").outcome == "completed"
    project.logs.clear()
    project.runs = project.runs / "other"
    failed = project.run({"name": name}, entrypoint="flows:fails")
    assert failed.outcome == "failed"
    assert failed.ended["error"]["class"]


class Mark(int):
    pass


NESTED = st.recursive(
    st.integers(0, 3)
    | st.builds(Mark, st.integers(0, 3))
    | st.text(max_size=1)
    | st.sets(st.integers()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
)


def _by_recursion(value: Any) -> list[Mark]:
    if type(value) is Mark:
        return [value]
    if type(value) is dict:
        return [mark for each in value.values() for mark in _by_recursion(each)]
    if type(value) in (list, tuple):
        return [mark for each in value for mark in _by_recursion(each)]
    return []


@given(NESTED)
def test_what_is_looked_for_is_found_in_order(value: Any):
    twice = [value, {"again": value}]
    found = list(nesting.find(twice, (Mark,)))
    assert list(map(id, found)) == list(map(id, _by_recursion(twice)))
    assert nesting.may_hold(value) or not found or type(value) is Mark


def test_a_list_that_contains_itself_is_looked_into_once():
    value: list[Any] = [Mark(1), [Mark(2)]]
    value.append((value, Mark(3)))
    assert list(nesting.find(value, (Mark,))) == [1, 2, 3]
