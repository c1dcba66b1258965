"""Options of flows and tasks: what is taken, what is refused, and how long retries wait."""

import functools
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway import Flow, InvalidOption, Task, flow, task
from headway.options import RETRY_DELAY_MAX_S, Retries


def test_bare_and_with_options():
    @task
    def bare(a: int, b: str = "x") -> int:
        """What it does.

        More of it.
        """
        return a

    @task(name="other", tags=["b", "a", "b"], description="said", retries=2)
    def given_options():
        """Unused."""

    @flow
    def main():
        pass

    assert isinstance(bare, Task)
    assert isinstance(main, Flow)
    assert (bare.name, bare.description, bare.retries.limit) == (
        "bare",
        "What it does.\n\nMore of it.",
        0,
    )
    assert (given_options.name, given_options.tags, given_options.description) == (
        "other",
        ("a", "b"),
        "said",
    )
    assert bare.__name__ == "bare"
    assert bare.__doc__ == bare.fn.__doc__
    assert list(inspect.signature(bare).parameters) == ["a", "b"]


def test_with_options_changes_a_copy():
    @task(retries=1, tags=["t"])
    def work():
        pass

    changed = work.with_options(name="renamed", retries=0)
    assert (work.name, work.retries.limit) == ("work", 1)
    assert (changed.name, changed.retries.limit, changed.tags) == ("renamed", 0, ("t",))
    assert changed.fn is work.fn

    @flow(on_lost="hold")
    def main():
        pass

    other = main.with_options(retries=4)
    assert (other.on_lost, other.run_retries.limit, main.run_retries.limit) == ("hold", 4, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": True},
        {"retries": 1.5},
        {"retry_delay": -1},
        {"retry_delay": [1, float("nan")]},
        {"retry_delay": float("inf")},
        {"retry_backoff": 0.5},
        {"retry_jitter": "much"},
        {"name": ""},
        {"name": "a\0b"},
        {"name": "x" * 201},
        {"tags": "one"},
        {"tags": [1]},
        {"durable": "maybe"},
        {"result": "yaml"},
    ],
    ids=str,
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(InvalidOption, match=next(iter(options))):
        task(**options)(lambda: None)


@pytest.mark.parametrize(
    "options", [{"on_lost": "shrug"}, {"threads": 0}, {"retries": -1}], ids=str
)
def test_flow_options_that_cannot_work_are_refused(options):
    with pytest.raises(InvalidOption, match=next(iter(options))):
        flow(**options)(lambda: None)


@pytest.mark.parametrize(
    ("delay", "backoff", "seconds"),
    [
        (2, 1.0, [2, 2, 2]),
        (2, 3.0, [2, 6, 18]),
        ([1, 5], 1.0, [1, 5, 5]),
        ([1, 5], 2.0, [1, 10, 20]),
        (0, 9.0, [0, 0, 0]),
        ([], 1.0, [0, 0, 0]),
    ],
)
def test_waits_grow_as_told(delay, backoff, seconds):
    retries = Retries(3, delay, backoff, 0.0)
    assert [retries.delay_us(n, lambda: 0.5) for n in (1, 2, 3)] == [s * 1_000_000 for s in seconds]


@given(
    st.floats(0, 1e9),
    st.floats(1, 1e9),
    st.floats(0, 10),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
)
def test_waits_are_bounded_and_jitter_only_lengthens(delay, backoff, jitter, tried, drawn):
    plain = Retries(1, delay, backoff, 0.0).delay_us(tried, lambda: 0.0)
    jittered = Retries(1, delay, backoff, jitter).delay_us(tried, lambda: drawn)
    assert 0 <= plain <= jittered <= RETRY_DELAY_MAX_S * 1e6
    assert jittered <= plain * (1 + jitter) + 1


def test_functions_that_cannot_be_tasks_are_refused_at_the_decorator():
    def generates():
        yield 1

    async def generates_later():
        yield 1

    for fn in (generates, generates_later):
        with pytest.raises(InvalidOption, match="is a generator"):
            task(fn)
        with pytest.raises(InvalidOption, match="is a generator"):
            flow(fn)
    with pytest.raises(InvalidOption, match="has no name"):
        task(functools.partial(print, 1))


def test_a_method_is_no_task_but_a_static_one_is():
    with pytest.raises(InvalidOption, match=r"Refused\.work is a method"):

        class Refused:
            @task
            def work(self):
                pass

    class Taken:
        @staticmethod
        @task
        def work(n):
            return n + 1

    assert task("".join)(["a"]) == "a", "bound methods know their object"
    assert Taken.work(1) == 2
    assert Taken().work(1) == 2
