"""Flows that do to their process what programs do: fork, replace streams, lose their directory, leave threads behind."""

from pathlib import Path

import pytest

from headway.sources import code_hash
from support.flow_process import Project


def test_what_a_flow_forks_is_no_part_of_the_attempt(project: Project):
    project.write(
        """
import logging, os, sys, threading

@task
def work(n):
    return n

def forked():
    logging.getLogger("child").warning("from the child")
    work(1)
    sys.exit(0)

@flow
def main():
    work(0)
    # Another thread is sending while the fork happens: the child must not wait for a lock that nobody frees.
    stop = threading.Event()
    def chatter():
        while not stop.is_set():
            logging.getLogger("parent").info("x" * 10_000)
    thread = threading.Thread(target=chatter)
    thread.start()
    codes = []
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            try:
                forked()
            except SystemExit:
                os._exit(7)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop.set()
    thread.join()
    work(2)
    return codes
"""
    )
    outcome = project.run()
    assert outcome.ended["outcome"] == "completed", outcome.ended
    assert outcome.ended["result"]["data"] == str([7] * 20).replace(" ", "")
    assert len(outcome.of("call.ended", "work")) == 2
    assert "from the child" not in outcome.logs()
    assert outcome.err.count("from the child") == 20


def test_a_fork_that_returns_from_the_flow_tells_no_end(project: Project):
    project.write(
        """
import os

@task
def splits():
    return os.fork()

@flow
def main():
    pid = splits()
    if pid:
        os.waitpid(pid, 0)
"""
    )
    outcome = project.run()
    assert outcome.outcome == "completed"
    assert len(outcome.of("attempt.ended")) == 1
    assert outcome.outcomes("splits") == ["completed"]


def test_whatever_stands_for_the_streams_the_outcome_stays(project: Project):
    project.write(
        """
import sys

@flow
def main():
    sys.stdout = object()
    return 1
"""
    )
    outcome = project.run()
    assert outcome.outcome == "completed"
    assert "run_attempt" not in outcome.err, "it has returned, whatever Python's own end then says"


def test_an_error_is_told_when_the_working_directory_is_gone(project: Project):
    project.write(
        """
import os, tempfile

@flow
def main():
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
    exec(compile("raise ValueError('lost')", "<string>", "exec"))
"""
    )
    outcome = project.run()
    assert outcome.outcome == "failed"
    assert outcome.ended["error"]["message"] == "lost"
    assert [step["file"] for step in outcome.ended["error"]["traceback"] if step["user"]] == [
        "flows.py"
    ]


def test_a_value_that_cannot_be_encoded_fails_no_call(project: Project):
    project.write(
        """
import dataclasses

@dataclasses.dataclass
class Half:
    there: int
    missing: int = dataclasses.field(init=False)

@task
def makes():
    return Half(1)

@task
def takes(half):
    return half.there

@flow
def main():
    return takes(makes())
"""
    )
    outcome = project.run()
    assert outcome.outcome == "completed"
    assert outcome.ended["result"]["data"] == "1"
    assert any("AttributeError" in text for text in outcome.logs())
    project.run()
    assert project.run().outcomes("takes") == ["completed"], "without a digest it is never skipped"


def test_threads_that_the_flow_leaves_behind_are_told_of(project: Project):
    project.write(
        """
import threading

@flow
def main():
    threading.Thread(target=threading.main_thread().join, name="uploader").start()
"""
    )
    outcome = project.run()
    assert outcome.outcome == "completed"
    assert any("uploader" in text for text in outcome.logs())


def test_a_flow_that_closes_its_descriptors_says_why_it_ended(project: Project):
    project.write(
        """
import os

@task
def work():
    pass

@flow
def main():
    os.closerange(3, 100)
    work()
"""
    )
    outcome = project.start().finish()
    assert outcome.code == 70
    assert "closed a file descriptor" in outcome.err


def test_other_code_than_was_deployed_is_told(project: Project):
    project.write("@flow\ndef main():\n    pass\n")
    deployed = code_hash("flows:main", str(project.root))
    assert not project.run(code_hash=deployed).logs()
    (text,) = project.run(code_hash="0" * 64).logs()
    assert "other code" in text
    assert "headway deploy" in text


@pytest.mark.parametrize("entrypoint", ["strange:main", "strange.inner:main"])
def test_code_outside_the_root_is_not_even_imported(
    project: Project, tmp_path: Path, entrypoint: str
):
    trace = tmp_path / "executed"
    package = tmp_path / "elsewhere" / "strange"
    package.mkdir(parents=True)
    for name in ("__init__", "inner"):
        (package / f"{name}.py").write_text(
            f"open({str(trace)!r}, 'w')\nimport headway\n@headway.flow\ndef main(): pass\n"
        )
    outcome = project.run(entrypoint=entrypoint, env={"PYTHONPATH": str(tmp_path / "elsewhere")})
    assert outcome.outcome == "refused"
    assert "not below the root" in outcome.ended["error"]["message"]
    assert not trace.exists()


@pytest.mark.parametrize("entrypoint", ["sys:main", "this:d", "__main__:main"])
def test_what_is_no_file_is_no_entry_point(project: Project, entrypoint: str):
    outcome = project.run(entrypoint=entrypoint)
    assert outcome.outcome == "refused"
    assert "Zen" not in outcome.out


def test_packages_with_and_without_init_below_the_root_are_found(project: Project):
    for folder, init in (("plain", True), ("spaced", False)):
        (project.root / folder).mkdir()
        if init:
            (project.root / folder / "__init__.py").touch()
        (project.root / folder / "flows.py").write_text(
            "import headway\n@headway.flow\ndef main(): pass\n"
        )
        assert project.run(entrypoint=f"{folder}.flows:main").outcome == "completed"


def test_what_an_error_was_raised_from_stands_in_the_log(project: Project):
    project.write(
        """
@flow
def main():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("shown") from error
"""
    )
    outcome = project.run()
    assert outcome.ended["error"]["message"] == "shown"
    (text,) = outcome.logs()
    assert "KeyError: 'key'" in text
    assert "direct cause" in text


def test_large_and_small_results_are_skipped_alike(project: Project):
    project.write(
        """
@task
def makes(size):
    return "x" * size

@flow
def main():
    return [len(makes(size)) for size in (1, 1_000, 10_000, 200_000, 300_000)]
"""
    )
    first = project.run()
    again = project.run()
    third = project.run()
    assert first.ended["result"] == again.ended["result"] == third.ended["result"]
    assert again.outcomes("makes") == third.outcomes("makes") == ["skipped"] * 5


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_a_pool_call_tasks_as_plain_functions(project: Project, method: str):
    project.write(
        f"""
import logging, multiprocessing

@task
def square(n):
    logging.getLogger("worker").warning("squares")
    return n * n

@flow
def main():
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        return pool.map(square, [1, 2, 3])
"""
    )
    outcome = project.run()
    assert outcome.outcome == "completed", outcome.ended
    assert outcome.ended["result"]["data"] == "[1,4,9]"
    assert not outcome.of("call.ended")
    assert outcome.err.count("squares") == 3
