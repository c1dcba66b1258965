"""Results: which are kept, where, and what a later attempt makes of them."""

import hashlib
import json

import pytest

from support.flow_process import Project


def test_large_results_are_files_named_by_their_digest(project: Project):
    project.write(
        """
@task
def text():
    return "x" * 300_000

@task
def raw():
    return bytes(300_000)

@task
def edge():
    return "x" * (256 * 1024 - 2)

@flow
def main():
    return [len(text()), len(raw()), len(edge())]
"""
    )
    first = project.run()
    results = {f["name"]: f["result"] for f in first.of("call.ended")}
    assert "data" in results["edge"]
    assert results["raw"]["digest"] == hashlib.sha256(bytes(300_000)).hexdigest()
    for name in ("text", "raw"):
        file = project.runs / "1" / "results" / results[name]["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == results[name]["digest"] == file.name
        assert file.stat().st_size == results[name]["size"]
    second = project.run()
    assert second.outcomes() == ["skipped"] * 3
    linked = project.runs / "2" / "results" / results["raw"]["file"]
    assert linked.stat().st_nlink == 2
    for path in (project.runs / "1" / "results").iterdir():
        path.unlink()
    assert project.run().outcomes() == ["skipped"] * 3


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_lost_or_changed_file_is_executed_again(project: Project, damage: str):
    project.write(
        """
@task
def big():
    return bytes(300_000)

@flow
def main():
    big()
"""
    )
    project.run()
    [file] = (project.runs / "1" / "results").iterdir()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"else")
    assert project.run().outcomes() == ["completed"]


@pytest.mark.parametrize("spread", [False, True])
def test_the_store_is_looked_into(project: Project, spread: bool):
    project.write(
        """
@task
def big():
    return bytes(300_000)

@flow
def main():
    big()
"""
    )
    project.run()
    [file] = (project.runs / "1" / "results").iterdir()
    folder = project.store / file.name[:2] if spread else project.store
    folder.mkdir(parents=True)
    file.rename(folder / file.name)
    assert project.run().outcomes() == ["skipped"]


def test_a_value_that_cannot_be_kept_is_given_to_the_flow_and_made_again(project: Project):
    project.write(
        """
class Opaque:
    n = 1

@task
def make():
    return Opaque()

@flow
def main():
    assert [make().n, make().n] == [1, 1]
    return Opaque()
"""
    )
    first = project.run()
    assert first.outcome == "completed"
    empty = {"codec": "none", "size": 0, "digest": hashlib.sha256(b"").hexdigest()}
    assert first.of("call.ended")[0]["result"] == first.ended["result"] == empty
    warnings = [f for f in first.of("log") if f["level"] == "WARNING"]
    assert len(warnings) == 2, "one for the task, however often it was called, one for the flow"
    assert "flows.Opaque" in warnings[0]["text"]
    assert 'result="pickle"' in warnings[0]["text"]
    assert warnings[0]["call"] == first.of("call.ended")[0]["call"]
    assert project.run().outcomes() == ["completed"] * 2


def test_pickle_by_opt_in_only(project: Project):
    project.write(
        """
class Opaque:
    def __init__(self, n):
        self.n = n

@task(result="pickle")
def make(n):
    return Opaque(n)

@task(result="pickle")
def plain():
    return [1]

@task(result="pickle")
def never():
    return lambda: 1

@flow
def main():
    never()
    return [make(5).n, plain()]
"""
    )
    first, second = project.run(), project.run()
    codecs = {f["name"]: f["result"]["codec"] for f in first.of("call.ended")}
    assert codecs == {"make": "pickle", "plain": "json", "never": "none"}
    assert json.loads(second.ended["result"]["data"]) == [5, [1]]
    assert sorted(second.outcomes()) == ["completed", "skipped", "skipped"]


def test_an_opaque_result_stands_by_its_call_while_unchanged(project: Project):
    project.write(
        """
class Frame:
    def __init__(self, n):
        self.n = n

@task(result="pickle")
def load(n):
    return Frame(n)

@task
def clean(frame):
    return frame.n

@flow
def main(change: int):
    same, changed = load(1), load(2)
    other = Frame(1)
    changed.n = change
    return [clean(same), clean({"deep": [same]}["deep"][0]), clean(changed), clean(other)]
"""
    )
    project.run({"change": 5})
    second = project.run({"change": 6})
    assert json.loads(second.ended["result"]["data"]) == [1, 1, 6, 1]
    assert second.outcomes("load") == ["skipped", "skipped"]
    assert second.outcomes("clean") == ["skipped", "skipped", "completed", "completed"]


def test_a_class_that_changed_is_executed_again(project: Project):
    source = """
import dataclasses

@dataclasses.dataclass
class Row:
    FIELDS

@task
def make():
    return Row(1)

@flow
def main():
    make()
"""
    project.write(source.replace("FIELDS", "a: int"))
    assert project.run().outcomes() == ["completed"]
    assert project.run().outcomes() == ["skipped"]
    project.write(source.replace("FIELDS", "other: int"))
    assert project.run().outcomes() == ["completed"]


def test_a_result_that_cannot_be_written_does_not_fail_the_call(project: Project):
    project.write(
        """
import os, shutil

@task
def big():
    return bytes(300_000)

@flow
def main(run_dir: str):
    Path(run_dir, "results").write_text("in the way")
    big()
"""
    )
    outcome = project.run({"run_dir": str(project.runs / "1")})
    assert outcome.outcome == "completed"
    assert outcome.of("call.ended")[0]["result"]["codec"] == "none"
    assert ["executes it again" in text for text in outcome.logs()] == [True]


def test_a_damaged_journal_holds_what_comes_before_the_damage(project: Project):
    project.write(
        """
@task
def work(n):
    return n

@flow
def main():
    work(1), work(2)
"""
    )
    project.run()
    log = project.runs / "1" / "frames.log"
    log.write_bytes(log.read_bytes()[:-600])
    gone = str(project.runs / "gone" / "frames.log")
    assert project.run(journal=[gone, str(log)]).outcomes() == ["skipped", "completed"]
