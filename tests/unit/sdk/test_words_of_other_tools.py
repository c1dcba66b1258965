"""What people write from memory: the error says what it is called here."""

import threading

import pytest

from headway import flow, task
from headway.compat import prefect
from headway.compat.errors import NoSuchOption
from headway.pool import Pool
from headway.runtime import warnings
from headway.testing import harness


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("trigger_rule", "allow_failure"),
        ("retry_delay_seconds", "retry_delay="),
        ("start_to_close_timeout", "timeout="),
        ("on_failure_callback", "on_failure="),
    ],
)
def test_options_of_other_tools_are_named(option, instead):
    with pytest.raises(TypeError, match=instead):
        task(**{option: 1})
    with pytest.raises(TypeError, match="there are: "):
        flow(**{option: 1})


def test_what_nobody_has_is_refused_with_what_there_is():
    with pytest.raises(TypeError, match="there is no option 'nonsense'; there are: cache"):
        task(nonsense=1)


@prefect.task
def double(n):
    return 2 * n


@prefect.task
def own(wait_for):
    return wait_for


@prefect.flow
def inner(n):
    return double(n)


@pytest.mark.parametrize("call", [double, double.submit, inner])
def test_prefects_return_state_says_what_to_do(call):
    with pytest.raises(NoSuchOption, match=r"return_state of this call .* Future\.exception"):
        call(1, return_state=True)


def test_prefects_wait_for_in_a_plain_call_says_what_to_do_unless_the_function_has_it():
    with pytest.raises(NoSuchOption, match="wait_for of this call"):
        double(1, wait_for=[])
    assert double.submit(1, wait_for=[]).result() == 2
    assert own(wait_for=3) == 3
    with harness() as h:
        assert h.run(inner, n=2).result() == 4


def test_threads_of_ours_are_no_threads_of_the_users(caplog):
    release, begun = threading.Event(), threading.Event()

    class Held(Pool):
        def _work(self) -> None:
            begun.set()
            release.wait(60)

    pool = Held(1)
    pool._start_thread()
    assert begun.wait(60)
    stray = threading.Thread(target=release.wait, args=(60,), name="stray")
    stray.start()
    try:
        warnings.warn_of_threads()
    finally:
        release.set()
        stray.join()
    [line] = caplog.messages
    assert "stray" in line
    assert "headway-task" not in line
