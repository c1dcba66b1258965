"""Code that is edited between two runs of one line, on a whole Headway: what is kept is right, and what is new is executed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.stack import Stack, stack

FLOW = """
from pathlib import Path
from headway import flow, task

@task
def size(log: str, name: str) -> list:
    with Path(log).open("a") as file:
        file.write(f"{{name}}\\n")
    if name == "bad" and not {mended}:
        raise ValueError(name)
    return [name, {measured}]

@flow(on_code_change="{on_change}")
def sizes(log: str) -> list:
    return size.map([log] * {count}, {names}).result()
"""
BEFORE = {"mended": False, "measured": "len(name)", "count": 4, "names": ["a", "b", "b", "bad"]}


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """A Headway whose agent executes what lies in a folder of its own."""
    folder = tmp_path_factory.mktemp("projects")
    with stack(tmp_path_factory.mktemp("h"), root=folder) as running:
        yield running, folder


@pytest.mark.parametrize(
    ("on_change", "after", "executed", "result"),
    [
        # One item more, in front: it and the one that had failed.
        ("trust", {"mended": True, "count": 5, "names": ["new", "a", "b", "b", "bad"]}, ["new", "bad"], [["new", 3], ["a", 1], ["b", 1], ["b", 1], ["bad", 3]]),
        # The other way round, and one of the equal calls less.
        ("trust", {"mended": True, "count": 3, "names": ["bad", "b", "a"]}, ["bad"], [["bad", 3], ["b", 1], ["a", 1]]),
        # The task itself is another one: all of it again.
        ("rerun", {"mended": True, "measured": "-len(name)"}, ["a", "b", "b", "bad"], [["a", -1], ["b", -1], ["b", -1], ["bad", -3]]),
    ],
    ids=["inserted first", "turned round", "changed task"],
)  # fmt: skip
def test_a_resumed_run_gives_what_the_new_code_gives(
    projects: tuple[Stack, Path],
    tmp_path: Path,
    on_change: str,
    after: dict,
    executed: list,
    result: list,
):
    headway, folder = projects
    project, log = folder / tmp_path.name, tmp_path / "log"
    project.mkdir()
    name = f"sizes-{tmp_path.name}"

    deployed = 0

    def deploy(**code: object) -> None:
        nonlocal deployed
        deployed += 1
        # Python takes a file of the same second and the same size for the one that it has compiled.
        padding = "#" * deployed
        (project / "edited.py").write_text(FLOW.format(on_change=on_change, **code) + padding)
        headway.deploy("edited:sizes", name, "--environment", name, root=project)

    deploy(**BEFORE)
    run = headway.start_run(name, log=str(log))
    ended = headway.ended(run)
    assert ended["state"] == "failed", ended
    assert sorted(log.read_text().split()) == ["a", "b", "b", "bad"]
    log.write_text("")
    deploy(**(BEFORE | after))
    made = headway.api("POST", f"/runs/{run}/fork", {"verb": "resume"})
    ended = headway.ended(made["id"])
    assert ended["state"] == "completed", ended
    assert json.loads(ended["result"]["preview"]) == result
    assert sorted(log.read_text().split()) == sorted(executed)
