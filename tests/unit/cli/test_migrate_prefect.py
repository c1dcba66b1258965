"""`headway migrate prefect`: reads projects as they are, says what maps, and stumbles over nothing."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.cli.prefect_project import files_of, read_yaml
from headway.cli.verbs.migrate import migrate
from headway.compat.reader import Finding, read_python

FLOWS = b"""
import prefect
import prefect.runtime as rt
from prefect import flow as f, task, tags
from prefect.tasks import exponential_backoff
from prefect_aws.s3 import S3Bucket
from .prefect import nothing

@task(retries=3, retry_delay_seconds=exponential_backoff(2), viz_return_value=1)
def load(x):
    return x

@prefect.flow(name="etl", **more)
def etl(n: int = 2):
    rt.flow_run.id
    load(1, return_state=True)
    quick = load.with_options(timeout_seconds=3)
    return quick.map([1], wait_for=[]).result()

wrapped = f(load)
wrapped.serve(name="x")
"""
DEPLOYMENTS = b"""
name: x
pull: &steps
- git_clone: {}
deployments:
- name: a
  schedules:
  - cron: "* * * * *"
- {name: b, work_pool: {name: p}, new_key: 1}
- just text
"""


def told(findings: list[Finding]) -> set[tuple[int, str, str, str]]:
    return {(one.line, one.group, one.name, one.status) for one in findings}


def test_python_is_read_by_what_its_names_mean():
    assert told(read_python("flows.py", FLOWS)) == {
        (3, "import", "runtime", "differs"),
        (4, "import", "flow", "same"),
        (4, "import", "task", "same"),
        (4, "import", "tags", "missing"),
        (5, "import", "exponential_backoff", "same"),
        (6, "import", "integrations", "missing"),
        (9, "task option", "retries", "same"),
        (9, "task option", "retry_delay_seconds", "same"),
        (9, "task option", "viz_return_value", "missing"),
        (13, "import", "flow", "same"),
        (13, "flow option", "name", "same"),
        (15, "import", "runtime", "differs"),
        (16, "call option", "return_state", "missing"),
        (17, "task method", "with_options", "same"),
        (17, "task option", "timeout_seconds", "same"),
        (18, "task method", "map", "same"),
        (18, "call option", "wait_for", "differs"),
        (21, "flow method", "serve", "missing"),
    }


def test_transactions_are_read():
    source = b"""from prefect import task
from prefect.transactions import transaction, get_transaction
@task(on_commit=[print])
def write(): ...
@write.on_rollback
def undo(txn): ...
"""
    assert told(read_python("flows.py", source)) == {
        (1, "import", "task", "same"),
        (2, "import", "transaction", "differs"),
        (2, "import", "get_transaction", "missing"),
        (3, "task option", "on_commit", "differs"),
        (5, "task method", "on_rollback", "differs"),
    }


def test_other_peoples_names_are_no_findings():
    assert (
        read_python("a.py", b"from dagster import task, flow\n@task(retries=1)\ndef f(): ...") == []
    )


def test_yaml_is_read_by_its_structure():
    assert told(read_yaml("prefect.yaml", DEPLOYMENTS)) == {
        (2, "prefect.yaml", "name", "missing"),
        (3, "prefect.yaml", "pull", "missing"),
        (5, "prefect.yaml", "deployments", "differs"),
        (6, "deployment", "name", "same"),
        (7, "deployment", "schedules", "missing"),
        (9, "deployment", "name", "same"),
        (9, "deployment", "work_pool", "differs"),
        (9, "deployment", "new_key", "missing"),
    }
    assert read_yaml("prefect.yaml", b"") == []


@pytest.mark.parametrize(
    "source", [b"- a", b"a: [", b"a: &x\n- *y", b"\xff\xfe\x00", b"a: 1\n---\nb: 2"]
)
def test_a_yaml_that_is_none_is_a_finding(source: bytes):
    [only] = read_yaml("prefect.yaml", source)
    assert only.status == "unreadable"
    assert only.note


@pytest.mark.parametrize(
    "source",
    [b"def", b"\x00", b"# coding: nonsense\n", b"(" * 5000, b"a" + b".b" * 50_000, b"\xff"],
)
def test_a_python_that_is_none_is_a_finding(source: bytes):
    [only] = read_python("a.py", source)
    assert (only.status, only.group) == ("unreadable", "file")


def project(folder: Path) -> Path:
    for name in ("src", ".venv/lib", "src/node_modules"):
        (folder / name).mkdir(parents=True)
    (folder / "src" / "flows.py").write_bytes(FLOWS)
    (folder / "src" / "broken.py").write_bytes(b"def")
    (folder / "prefect.yaml").write_bytes(DEPLOYMENTS)
    (folder / "other.yaml").write_bytes(b"a: [")
    for foreign in (".venv/lib", "src/node_modules"):
        (folder / foreign / "theirs.py").write_bytes(FLOWS)
    return folder


def test_a_project_is_its_own_files(tmp_path: Path):
    found = [file.relative_to(tmp_path).as_posix() for file in files_of(project(tmp_path))]
    assert found == ["prefect.yaml", "src/broken.py", "src/flows.py"]


def test_the_command_tells_people(tmp_path: Path):
    done = CliRunner().invoke(migrate, ["prefect", str(project(tmp_path))])
    assert done.exit_code == 0, done.output
    assert "src/flows.py\n" in done.output
    assert "missing    flow method serve  (`headway deploy`, and" in done.output
    assert "same       task option retries -> @task(retries)" in done.output
    assert "3 file(s) read: " in done.output
    assert "1 file(s) could not be read." in done.output
    short = CliRunner().invoke(migrate, ["prefect", "--missing", str(tmp_path)])
    assert "option retries" not in short.output


@pytest.mark.parametrize("words", [["--json"], ["-o", "json"]])
def test_the_command_tells_programs(tmp_path: Path, words: list[str]):
    done = CliRunner().invoke(migrate, ["prefect", *words, str(project(tmp_path))])
    told = json.loads(done.output)
    assert told["files"] == 3
    assert told["summary"]["unreadable"] == 1
    assert sum(told["summary"].values()) == len(told["findings"])
    assert told["findings"][0] == {
        "file": "prefect.yaml", "line": 2, "group": "prefect.yaml", "name": "name", "status": "missing", "ours": "",
        "note": "a project has no name; leave it out",
    }  # fmt: skip


def test_one_file_and_no_file(tmp_path: Path):
    (tmp_path / "a.py").write_bytes(b"import prefect\nprefect.flow\n")
    one = CliRunner().invoke(migrate, ["prefect", str(tmp_path / "a.py")])
    assert "2  same       import flow -> headway.flow" in one.output
    (tmp_path / "empty").mkdir()
    none = CliRunner().invoke(migrate, ["prefect", str(tmp_path / "empty")])
    assert none.exit_code == 2
    assert "holds no Python file" in none.output


def test_names_that_would_steer_a_terminal_are_shown_harmless(tmp_path: Path):
    (tmp_path / "prefect.yaml").write_text('"\\e[31mred": 1\n')
    done = CliRunner().invoke(migrate, ["prefect", str(tmp_path)])
    assert "\x1b" not in done.output
    assert "?[31mred" in done.output


WORDS = [
    "prefect", "from", "import", "flow", "task", "as", "@", "(", ")", "=", ".", ",", "\n", " ", "def f", ":", "pass", "*",
    "return_state", "with_options", "submit", "map", "[", "]", "lambda", "x", "**", "'", "async ", "\t", "\x00", "é", "é",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60).map("".join) | st.text() | st.binary())
def test_no_python_file_makes_it_stumble(source: str | bytes):
    raw = source if isinstance(source, bytes) else source.encode("utf-8", "surrogatepass")
    for one in read_python("a.py", raw):
        assert one.status in ("same", "differs", "missing", "unreadable")
        assert one.line >= 1


@settings(deadline=None)
@given(st.text(alphabet="abc:-[]{}&*!|>\n \"'#%@`,?<\t\x00é") | st.text() | st.binary())
def test_no_yaml_file_makes_it_stumble(source: str | bytes):
    raw = source if isinstance(source, bytes) else source.encode("utf-8", "surrogatepass")
    for one in read_yaml("prefect.yaml", raw):
        assert one.status in ("same", "differs", "missing", "unreadable")
        assert one.line >= 1
