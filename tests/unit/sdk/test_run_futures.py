"""Calls that are submitted: futures as arguments, what a flow waits for, what nobody looked at."""

import pytest

from support.flow_process import Project
from support.marks import MARK, marks, value


def test_futures_as_arguments_are_resolved_and_stand_by_their_key(project: Project):
    project.write(
        """
class Opaque:
    pass

@task
def make(n):
    return n

@task
def opaque(n):
    return Opaque()

@task
def use(value, more=None):
    return type(value).__name__

@flow
def main():
    a, b, c = make.submit(1), make.submit(2), opaque.submit(3)
    return [
        use(a),
        use.submit(b, more={"deep": [a, (b,)]}).result(),
        use(c),
        use([a, b]),
    ]
"""
    )
    first, second = project.run(), project.run()
    assert value(first) == value(second) == ["int", "int", "Opaque", "list"]
    assert second.outcomes("make") == ["skipped", "skipped"]
    assert second.outcomes("use") == ["skipped"] * 4
    assert second.outcomes("opaque") == ["completed"], "its value could not be kept"


def test_an_argument_whose_call_failed_fails_the_call_untried(project: Project):
    project.write(
        """
@task
def bad():
    raise ValueError("source")

@task
def use(value):
    return value

@flow
def main():
    future = use.submit(bad.submit())
    assert isinstance(future.exception(), ValueError)
"""
    )
    outcome = project.run()
    assert outcome.outcome == "completed", outcome.ended
    [use] = outcome.of("call.ended", "use")
    assert (use["outcome"], use["tries"], use["error"]["message"]) == ("failed", 0, "source")


def test_a_flow_waits_for_what_it_submitted(project: Project):
    project.write(
        MARK
        + """
import threading
go = threading.Event()

@task
def slow():
    go.wait(20)
    mark("slow")

@task
def opener():
    go.set()

@flow
def main():
    slow.submit()
    opener.submit()
"""
    )
    assert project.run().outcome == "completed"
    assert marks(project) == ["slow"]


@pytest.mark.parametrize(
    ("look", "expected"),
    [("pass", "failed"), ("future.wait()", "failed"), ("future.exception()", "completed")],
)
def test_a_failure_nobody_looked_at_fails_the_flow(project: Project, look: str, expected: str):
    project.write(
        f"""
@task
def bad():
    raise ValueError("unseen")

@flow
def main():
    future = bad.submit()
    {look}
"""
    )
    outcome = project.run()
    assert outcome.outcome == expected
    if expected == "failed":
        assert outcome.ended["error"]["message"] == "unseen"


def test_work_not_begun_is_given_up_when_the_flow_fails(project: Project):
    project.write(
        MARK
        + """
import threading
began, go = threading.Event(), threading.Event()

@task
def work(n):
    began.set()
    go.wait(20)
    mark(n)

@flow(task_runner=ThreadRunner(1))
def main():
    futures = work.map([1, 2, 3])
    futures[2].on_done(lambda _: go.set())
    began.wait(20)
    raise RuntimeError("enough")
"""
    )
    assert project.run().outcome == "failed"
    assert marks(project) == ["1"]


def test_nested_waits_do_not_starve_a_small_pool(project: Project):
    project.write(
        """
@task
def leaf(n):
    return n

@task
def branch(n):
    return sum(f.result() for f in leaf.map([n, n + 1]))

@flow(task_runner=ThreadRunner(1))
def main():
    return [f.result() for f in as_completed(branch.map([1, 2, 3]))]
"""
    )
    assert sorted(value(project.run())) == [3, 5, 7]


def test_a_flow_may_return_futures(project: Project):
    project.write(
        """
@task
def work(n):
    return n

@flow
def main():
    return {"all": work.map([1, 2]), "one": work.submit(3)}
"""
    )
    assert value(project.run()) == {"all": [1, 2], "one": 3}
