"""How an attempt begins and ends: entry points, parameters, exits, logs, environment."""

import json

import pytest

from support.flow_process import Project


@pytest.mark.parametrize(
    ("entrypoint", "name", "told"),
    [
        ("nowhere:main", "headway.EntrypointNotFound", "nowhere"),
        ("flows.deeper:main", "headway.EntrypointNotFound", "flows"),
        ("flows:missing", "headway.EntrypointNotFound", "missing"),
        ("flows", "headway.EntrypointNotFound", "package.module:name"),
        ("flows:number", "headway.NotAFlow", "@flow"),
        ("flows:work", "headway.NotAFlow", "@flow"),
        ("flows:starred", "headway.NotAFlow", "*args"),
    ],
)
def test_a_wrong_entry_point_is_refused(project: Project, entrypoint: str, name: str, told: str):
    project.write(
        """
number = 1

@task
def work():
    pass

@flow
def starred(*args):
    pass
"""
    )
    outcome = project.run(entrypoint=entrypoint)
    assert outcome.outcome == "refused"
    assert outcome.code == 0
    assert outcome.ended["error"]["class"] == name
    assert told in outcome.ended["error"]["message"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("raise RuntimeError('at import')", "RuntimeError"),
        ("import not_installed_anywhere", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(0)", "SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_fails_the_attempt(
    project: Project, source: str, name: str
):
    project.write(source)
    outcome = project.run()
    assert outcome.outcome == "failed"
    assert outcome.ended["error"]["class"] == name
    assert not outcome.of("attempt.started")
    if name != "SyntaxError":
        assert any(step["user"] for step in outcome.ended["error"]["traceback"])


def test_wrong_parameters_are_refused_with_every_problem(project: Project):
    project.write(
        """
@flow
def main(day: str, count: int = 1):
    Path("ran").touch()
"""
    )
    outcome = project.run({"count": "x", "extra": 1})
    assert outcome.outcome == "refused"
    message = outcome.ended["error"]["message"]
    assert all(
        part in message
        for part in ("day: is required", "count: expected a whole number", "extra: is unknown")
    )
    assert not (project.root / "ran").exists()


def test_parameters_arrive_as_the_types_of_the_hints(project: Project):
    project.write(
        """
import datetime, enum

class Colour(enum.Enum):
    RED = "red"

@flow
def main(day: datetime.date, colour: Colour, rest: int = 2, /, *, tags: set[str] = frozenset()):
    return [type(day).__name__, colour.name, rest, sorted(tags)]
"""
    )
    outcome = project.run({"day": "2026-01-02", "colour": "red", "tags": ["b", "a"]})
    assert json.loads(outcome.ended["result"]["data"]) == ["date", "RED", 2, ["a", "b"]]


@pytest.mark.parametrize(
    ("body", "expected", "code"),
    [
        ("import sys; sys.exit(0)", "completed", 0),
        ("import sys; sys.exit('wrong')", "failed", 0),
        ("raise KeyboardInterrupt", "cancelled", 0),
        ("raise MemoryError", "failed", 0),
        ("main_again = lambda: main_again(); main_again()", "failed", 0),
        ("raise Cancelled", "cancelled", 0),
        ("raise type('Odd', (BaseException,), {})", "failed", 0),
    ],
)
def test_every_way_to_end_has_an_outcome(project: Project, body: str, expected: str, code: int):
    project.write(f"@flow\ndef main():\n    {body}\n")
    outcome = project.run()
    assert (outcome.outcome, outcome.code) == (expected, code)


def test_os_exit_leaves_no_end(project: Project):
    project.write("@flow\ndef main():\n    import os; os._exit(3)\n")
    outcome = project.run()
    assert outcome.code == 3
    assert [f["type"] for f in outcome.frames] == ["attempt.started"]


def test_an_error_whose_message_fails_is_still_told(project: Project):
    project.write(
        """
class Odd(Exception):
    def __str__(self):
        raise ValueError

@flow
def main():
    raise Odd
"""
    )
    assert "could not be read" in project.run().ended["error"]["message"]


def test_text_is_clean_and_bounded(project: Project):
    project.write(
        r"""
import logging

def fall(n):
    if n == 0:
        raise ValueError("a\0b\ud800c" + "x" * 100_000)
    fall(n - 1)

@flow
def main():
    get_run_logger().warning("l\0g \udfff \ud83d\ude00")
    logging.getLogger("mine").error("y" * 100_000)
    logging.getLogger("odd").log(35, "between")
    fall(200)
"""
    )
    outcome = project.run()
    error = outcome.ended["error"]
    assert error["message"].startswith("a\ufffdb\ufffdcx")
    assert error["message"].endswith("[cut 67237 characters]")
    assert len(error["traceback"]) == 50
    assert error["traceback"][-1]["function"] == "fall"
    assert error["traceback"][0]["function"] != "fall"
    logs = outcome.of("log")
    assert [f["level"] for f in logs] == ["WARNING", "ERROR", "WARNING"]
    assert logs[0]["text"] == "l\ufffdg \ufffd \U0001f600"
    assert logs[1]["text"].endswith(" ... [cut 34464 bytes]")


def test_log_lines_carry_the_call_that_wrote_them(project: Project):
    project.write(
        """
import logging

@task
def work():
    logging.getLogger("lib").info("inside")
    try:
        1 / 0
    except ZeroDivisionError:
        get_run_logger().exception("failed")

@flow
def main():
    get_run_logger().info("%s is here", "root")
    work()
"""
    )
    outcome = project.run()
    root, inside, failed = outcome.of("log")
    [work] = outcome.of("call.ended")
    assert (root["call"], root["text"], root["logger"]) == ("root", "root is here", "headway.run")
    assert (inside["call"], inside["logger"]) == (work["call"], "lib")
    assert "ZeroDivisionError" in failed["text"]


def test_the_process_is_what_start_json_says(project: Project):
    project.write(
        """
import os, sys, time

@flow
def main():
    print("to stdout", end="")
    context = run_context()
    return [os.getcwd(), sys.path[0], os.environ["FROM_START"], time.tzname[0], list(context)[:9]]
"""
    )
    outcome = project.run(env={"FROM_START": "here", "TZ": "XYZ-3"})
    cwd, path, env, zone, context = json.loads(
        outcome.ended["result"]["data"].replace('{"$":"namedtuple"', '{"x":"y"')
    )
    assert cwd == path == str(project.root.resolve())
    assert (env, zone) == ("here", "XYZ")
    assert context == ["run-1", 1, "brisk-otter", "main", "main/test", "root", "main", 1, ""]
    assert outcome.out == "to stdout"
