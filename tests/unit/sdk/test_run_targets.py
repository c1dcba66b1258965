"""Tasks that make something outside: skipped where that is there, and never where it is not."""

import sqlite3
from pathlib import Path

import pytest

from headway import FileTarget, InvalidOption, TableTarget, task
from support.flow_process import Outcome, Project

REPORT = """
from headway import FileTarget, task, flow
from headway.runners import ProcessRunner
here = Path(__file__).parent

@task({options})
{kind}def report(day):
    with (here / "made").open("a") as file:
        file.write(f"{{day}} ")
    {body}

@flow({flow})
{kind}def main(days=["monday", "tuesday"]):
    {loop}
"""
SYNC = "return [str(report(day)) for day in days]"
WRITE = """target = FileTarget(here / f"{day}.txt")
    with target.open() as file:
        file.write(day)
    return target"""
OPTIONS = "target=lambda a: FileTarget(here / f\"{a['day']}.txt\")"


def write(
    project: Project,
    body: str = WRITE,
    options: str = OPTIONS,
    kind: str = "",
    flow: str = "",
    loop: str = SYNC,
) -> None:
    project.write(REPORT.format(body=body, options=options, kind=kind, flow=flow, loop=loop))


def anew(project: Project, run: str) -> Outcome:
    """A run of its own, without a journal."""
    return project.start({}, journal=[], run=run, salt=run).finish_and_keep(project)


def made(project: Project) -> list[str]:
    path = project.root / "made"
    return path.read_text().split() if path.exists() else []


def told(outcome: Outcome) -> list[tuple[str, str]]:
    return [(end["outcome"], end.get("cause", "")) for end in outcome.of("call.ended", "report")]


@pytest.mark.parametrize(
    ("kind", "flow", "loop"),
    [
        ("", "", SYNC),
        ("", "", "return [str(future.result()) for future in report.map(days)]"),
        ("", "task_runner=ProcessRunner(2)", "return [str(f.result()) for f in report.map(days)]"),
        ("async ", "", "return [str(await report(day)) for day in days]"),
    ],
    ids=["called", "in threads", "in processes", "async"],
)
def test_what_is_there_is_not_made_again(project: Project, kind: str, flow: str, loop: str):
    write(project, kind=kind, flow=flow, loop=loop)
    (project.root / "monday.txt").write_text("from elsewhere")
    first = anew(project, "run-1")
    assert sorted(told(first)) == [("completed", ""), ("skipped", "target")]
    assert made(project) == ["tuesday"]
    second = anew(project, "run-2")
    assert told(second) == [("skipped", "target")] * 2
    assert made(project) == ["tuesday"]
    assert second.ended["result"] == first.ended["result"]
    assert (project.root / "monday.txt").read_text() == "from elsewhere"


def test_what_is_gone_is_made_again(project: Project):
    write(project)
    anew(project, "run-1")
    (project.root / "monday.txt").unlink()
    assert told(anew(project, "run-2")) == [("completed", ""), ("skipped", "target")]
    assert made(project) == ["monday", "tuesday", "monday"]


def test_a_path_as_template_and_a_function_that_returns_nothing(project: Project):
    write(project, body='Path(f"{day}.out").touch()', options='target="{day}.out"')
    outcome = anew(project, "run-1")
    assert "FileTarget(path='monday.out')" in outcome.ended["result"]["data"]
    assert told(anew(project, "run-2")) == [("skipped", "target")] * 2


@pytest.mark.parametrize(
    ("body", "options", "error"),
    [
        ("pass", OPTIONS, "headway.errors.TargetMissing"),
        (WRITE.replace("return target", "return 7"), OPTIONS, "headway.errors.WrongTarget"),
        (WRITE, "target=lambda a: 7", "headway.errors.WrongTarget"),
        (WRITE, 'target="{month}.txt"', "KeyError"),
    ],
)
def test_a_target_that_cannot_be_fails_the_call(
    project: Project, body: str, options: str, error: str
):
    write(project, body=body, options=options)
    outcome = anew(project, "run-1")
    assert outcome.ended["outcome"] == "failed"
    assert outcome.of("call.ended", "report")[0]["error"]["class"] == error


def test_a_look_that_fails_is_tried_again(project: Project):
    write(
        project,
        options="retries=1, target=Shy()",
        body="return None",
        loop="return str(report(1))",
    )
    source = project.root / "flows.py"
    source.write_text(
        source.read_text().replace(
            "@task(",
            """
class Shy:
    looks = 0
    def exists(self):
        Shy.looks += 1
        if Shy.looks == 1:
            raise ConnectionError("the database is away")
        return True

@task(""",
            1,
        )
    )
    outcome = anew(project, "run-1")
    assert told(outcome) == [("skipped", "target")]
    assert outcome.of("call.retrying", "report")[0]["error"]["class"] == "ConnectionError"


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path):
    target = FileTarget(tmp_path / "deep" / "a.txt")
    with pytest.raises(TypeError), target.open() as file:
        file.write("first half" + file)
    assert not target.exists()
    assert list((tmp_path / "deep").iterdir()) == []
    with target.open("wb") as file:
        file.write(b"whole")
    assert target.exists()
    assert Path(target.path).read_bytes() == b"whole"
    with pytest.raises(ValueError, match="mode"), target.open("a"):
        pass


def test_a_table_is_there_once_its_update_is_committed(tmp_path: Path):
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "data.db")

    monday, tuesday = (TableTarget(connect, "orders", day) for day in ("monday", "tuesday"))
    assert not monday.exists()
    connection = connect()
    monday.mark(connection)
    connection.rollback()
    assert not monday.exists()
    monday.mark(connection)
    connection.commit()
    connection.close()
    assert monday.exists()
    assert not tuesday.exists()


@pytest.mark.parametrize("given", [7, "", int])
def test_what_is_no_target_is_refused_at_the_decorator(given: object):
    with pytest.raises(InvalidOption, match="target must be"):
        task(target=given)(print)  # type: ignore[call-overload]


def test_a_target_beside_a_cache_is_refused():
    with pytest.raises(InvalidOption, match="a cache or a target"):
        task(target="a", cache=lambda _: "key")(print)
    with pytest.raises(InvalidOption, match="name of a table"):
        TableTarget(sqlite3.connect, "t", "u", marks="x; DROP")  # type: ignore[arg-type]
