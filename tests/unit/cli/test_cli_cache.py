"""`headway cache`: what is there, why a call was a hit or a miss, and clearing."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headway.cli.verbs.cache import cache
from support.flow_process import Project

SOURCE = """
@task(cache=INPUTS + SOURCE, cache_expires=3600)
def load(day, size=1):
    return day

@task
def plain():
    return 1

@flow
def main(day="monday"):
    return load(day) + str(plain())
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.runs = tmp_path / "runs" / "0199a3-run"
    made.write(SOURCE)
    made.run(run="0199a3-run")
    return made


def headway(project: Project, *words: str) -> Result:
    state = ["--state-dir", str(project.store.parent)]
    return CliRunner().invoke(cache, [words[0], *state, *words[1:]])


def explain_task(project: Project, *words: str) -> Result:
    where = ["--root", str(project.root), "--environment", "test"]
    return headway(project, "explain", "flows:load", *where, *words)


def test_what_is_cached_is_listed(project: Project):
    said = headway(project, "ls").stdout.splitlines()
    assert len(said) == 2
    assert "load" in said[1]
    assert "inputs.day inputs.size project source" in said[1]
    (entry,) = json.loads(headway(project, "ls", "-o", "json").stdout)
    assert (entry["task"], entry["run"], entry["size"] > 0) == ("flows:load", "0199a3-run", True)


def test_a_runs_calls_say_why(project: Project):
    said = headway(project, "explain", "0199a3").stdout
    assert "load  miss: nothing is kept under this key, nor anything else of this task" in said
    assert "plain" not in said
    project.logs.clear()
    project.runs = project.runs.parent / "0200b4-run"
    project.run(run="0200b4-run")
    assert "load  hit: made by run 0199a3-run" in headway(project, "explain", "0200b4").stdout
    told = json.loads(headway(project, "explain", "0200b4", "load", "-o", "json").stdout)
    assert [each["outcome"] for each in told] == ["skipped"]


def test_a_call_that_is_yet_to_come(project: Project):
    assert explain_task(project, "-a", "day=monday").stdout.startswith(
        "hit: made by run 0199a3-run"
    )
    other = explain_task(project, "-a", "day=monday", "-a", "size=2").stdout
    assert "what run 0199a3-run made differs in inputs.size" in other
    elsewhere = explain_task(project, "-a", "day=monday", "--environment", "other").stdout
    assert "what run 0199a3-run made differs in project" in elsewhere
    project.write(SOURCE.replace("return day", "return day.upper()"))
    assert "differs in source" in explain_task(project, "-a", "day=monday").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("explain", "nobody"), "has no files of nobody"),
        (("clear",), "Say what to clear"),
        (("clear", "--key", "ab"), "too little of a key"),
        (("clear", "--all", "--task", "x"), "Say what to clear"),
    ],
)
def test_what_cannot_be_done_says_why(project: Project, words: tuple[str, ...], says: str):
    done = headway(project, *words)
    assert done.exit_code != 0
    assert says in done.output


@pytest.mark.parametrize(
    ("task", "arguments", "says"),
    [
        ("flows:load", ["-a", "dya=1"], "missing a required argument: 'day'"),
        ("flows:plain", [], "has no option cache"),
        ("flows:main", [], "is no task"),
        ("flows:gone", [], "no attribute 'gone'"),
        ("nowhere:gone", [], "No module named 'nowhere'"),
    ],
)
def test_a_task_that_cannot_be_explained_says_why(
    project: Project, task: str, arguments: list[str], says: str
):
    done = headway(project, "explain", task, "--root", str(project.root), *arguments)
    assert done.exit_code != 0
    assert says in done.output


@pytest.mark.parametrize("chosen", ["task", "key", "all"])
def test_clearing(project: Project, chosen: str):
    (entry,) = json.loads(headway(project, "ls", "-o", "json").stdout)
    assert headway(project, "clear", "--task", "other").stdout == "Deleted 0 cached results.\n"
    words = {"task": ["--task", "load"], "key": ["--key", entry["key"][:12]], "all": ["--all"]}
    assert headway(project, "clear", *words[chosen]).stdout == "Deleted 1 cached result.\n"
    assert headway(project, "ls").stdout == ""


def test_no_state_is_no_empty_cache(tmp_path: Path):
    done = CliRunner().invoke(cache, ["ls", "--state-dir", str(tmp_path / "none")])
    assert (done.exit_code, "--state-dir DIR" in done.output) == (3, True)
