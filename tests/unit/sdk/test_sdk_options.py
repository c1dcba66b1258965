"""Options of flows and tasks: what is taken, what is refused, and how long retries wait."""

import functools
import inspect
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway import (
    INPUTS,
    SOURCE,
    Flow,
    InvalidOption,
    ProcessRunner,
    Task,
    ThreadRunner,
    exponential,
    flow,
    task,
)
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
        {"retry_on": ValueError()},
        {"retry_on": BaseException},
        {"retry_on": (ValueError, "TypeError")},
        {"timeout": 0},
        {"timeout": "1 s"},
        {"timeout": timedelta(seconds=-1)},
        {"task_run_name": 1},
        {"version": 1},
        {"log_prints": "yes"},
        {"on_failure": "call me"},
        {"on_completion": [print, 1]},
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
    "options",
    [
        {"on_lost": "shrug"},
        {"task_runner": 4},
        {"task_runner": ThreadRunner},
        {"retries": -1},
        {"cancel_grace": 0},
        {"cancel_grace": None},
        {"cancel_grace": timedelta(days=8)},
    ],
    ids=str,
)
def test_flow_options_that_cannot_work_are_refused(options):
    with pytest.raises(InvalidOption, match=next(iter(options))):
        flow(**options)(lambda: None)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (2, [2, 2, 2]),
        ([1, 5], [1, 5, 5]),
        ([], [0, 0, 0]),
        (timedelta(minutes=1), [60, 60, 60]),
        ([timedelta(seconds=1), 2.5], [1, 2.5, 2.5]),
        (lambda tried: tried * 10, [10, 20, 30]),
        (lambda tried: timedelta(hours=tried), [3600, 7200, 10800]),
        (exponential(), [1, 2, 4]),
        (exponential(2, factor=3, longest=10), [2, 6, 10]),
    ],
)
def test_waits_grow_as_told(delay, seconds):
    retries = Retries(3, delay)
    assert [retries.delay_us(n, lambda: 0.5) for n in (1, 2, 3)] == [s * 1_000_000 for s in seconds]
    assert [*retries.listed(), *retries.listed()[-1:] * 3][:3] == seconds


@given(
    st.floats(0, 1e9),
    st.floats(1, 1e9),
    st.floats(0, 10),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
)
def test_waits_are_bounded_and_jitter_only_lengthens(first, factor, jitter, tried, drawn):
    delay = exponential(first, factor)
    plain = Retries(1, delay).delay_us(tried, lambda: 0.0)
    jittered = Retries(1, delay, jitter).delay_us(tried, lambda: drawn)
    assert 0 <= plain <= jittered <= RETRY_DELAY_MAX_S * 1e6
    assert jittered <= plain * (1 + jitter) + 1


def test_a_delay_function_must_give_a_length_of_time():
    with pytest.raises(InvalidOption, match="retry_delay"):
        Retries(1, lambda _: "soon").delay_us(1, lambda: 0.0)


@pytest.mark.parametrize(
    ("on", "wanted"),
    [
        (None, [True, True, True]),
        (ValueError, [True, True, False]),
        ((KeyError, UnicodeError), [False, True, True]),
        (lambda _task, error: str(error) == "a", [True, False, False]),
    ],
)
def test_a_retry_can_depend_on_the_error(on, wanted):
    errors = [ValueError("a"), UnicodeError("b"), KeyError("c")]
    assert [Retries(1, on=on).wants(None, error) for error in errors] == wanted


def test_an_unknown_option_is_refused_by_name():
    with pytest.raises(TypeError, match="no option 'retrys'; there are: cache, "):
        task(retrys=3)


@pytest.mark.parametrize("workers", [0, -1, True, 1.5])
@pytest.mark.parametrize("runner", [ThreadRunner, ProcessRunner])
def test_a_runner_has_at_least_one_worker(runner, workers):
    with pytest.raises(InvalidOption, match="max_workers"):
        runner(max_workers=workers)


def test_async_hooks_are_for_async_functions():
    async def tell(change):
        pass

    @task(on_failure=tell)
    async def fine():
        pass

    with pytest.raises(InvalidOption, match=r"on_failure: .*tell is async"):
        task(on_failure=tell)(lambda: None)
    with pytest.raises(InvalidOption, match="on_crashed"):
        flow(on_crashed=tell)(lambda: None)
    assert flow(on_crashed=tell)(fine.fn).hooks == {"crashed": (tell,)}


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


def test_cache_options_that_cannot_work_are_refused():
    for options, words in (
        ({"cache": "INPUTS"}, "cache must be INPUTS, SOURCE"),
        ({"cache_expires": 60}, "add cache=INPUTS"),
        ({"refresh_cache": True}, "add cache=INPUTS"),
        ({"cache": INPUTS, "cache_expires": 0}, "cache_expires must be more than 0"),
        ({"cache": INPUTS, "cache_expires": -1}, "cache_expires must be a number"),
        ({"cache": INPUTS, "refresh_cache": 1}, "refresh_cache must be True or False"),
    ):
        with pytest.raises(InvalidOption, match=words):
            task(**options)(plain)
    with pytest.raises(InvalidOption, match='INPUTS - "debug"'):
        SOURCE - "debug"
    with pytest.raises(TypeError):
        INPUTS + 3
    assert repr(INPUTS + SOURCE - "debug") == "INPUTS + SOURCE - 'debug'"


def plain(day):
    return day
