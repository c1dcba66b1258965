"""The example projects, on a whole Headway: deployed and run as their READMEs say, small, and with what goes wrong."""

from __future__ import annotations

import csv
import hashlib
import json
import sysconfig
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support.eventually import eventually
from support.stack import Stack

STDLIB = Path(sysconfig.get_paths()["stdlib"])


def completed(headway: Stack, deployment: str, **parameters: object) -> Any:
    """Through the command line, as a user does it; what the flow returned."""
    words = [f"-p{name}={json.dumps(value)}" for name, value in parameters.items()]
    done = headway.headway("run", deployment, "--wait", "--timeout", "90", "-o", "json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return result(json.loads(done.stdout))


def result(run: dict[str, Any]) -> Any:
    assert run["state"] == "completed", run
    return json.loads(run["result"]["preview"])


def failure(headway: Stack, deployment: str, **parameters: object) -> tuple[str, dict[str, Any]]:
    """A run that fails: its id, and the run."""
    run = headway.start_run(deployment, **parameters)
    ended = headway.ended(run)
    assert ended["state"] == "failed", ended
    return run, ended


def executed(headway: Stack, run: str, task: str) -> int:
    """How many calls of the task the run executed itself, skipped ones left out."""
    ended = [f for f in headway.frames(run, 1) if f["type"] == "call.ended" and f["name"] == task]
    assert ended, f"run {run} has no call of {task}"
    return sum(frame["outcome"] != "skipped" for frame in ended)


def paused(headway: Stack, run: str, attempt: int = 1) -> dict[str, Any]:
    def once() -> dict[str, Any] | None:
        found = headway.api("GET", f"/runs/{run}")
        assert found["state"] not in {"failed", "crashed", "completed"}, found
        return found if (found["state"], found["attempt"]) == ("paused", attempt) else None

    return eventually(once, what=f"run {run} asks")


# 1: ETL


def test_etl_loads_the_zones_and_loading_them_twice_is_loading_them_once(
    deployed: Stack, tmp_path: Path
):
    database = tmp_path / "zones.duckdb"
    first = completed(deployed, "zones", day="2026-01-22", database=str(database))
    again = completed(deployed, "zones", day="2026-07-22", database=str(database))
    assert first == again
    assert first["zones"] > 300
    with duckdb.connect(database, read_only=True) as connection:
        counted = connection.execute("SELECT count(*), sum(summer_h) FROM zone").fetchone()
        berlin = connection.execute(
            "SELECT latitude, longitude, offset_h, summer_h FROM zone WHERE name = 'Europe/Berlin'"
        ).fetchone()
    assert counted is not None
    assert counted[0] == first["zones"]
    assert counted[1] > 50
    assert berlin == (52.5, 13.3667, 2.0, 1.0)


def test_etl_waits_while_somebody_else_has_the_database(deployed: Stack, tmp_path: Path):
    database = tmp_path / "zones.duckdb"
    with duckdb.connect(database):
        run = deployed.start_run("zones", day="2026-01-22", database=str(database))
        eventually(
            lambda: any(f["type"] == "call.retrying" for f in deployed.frames(run, 1)),
            what="the load is tried again",
        )
    assert result(deployed.ended(run))["zones"] > 300


def test_etl_refuses_a_folder_that_is_not_there(deployed: Stack, tmp_path: Path):
    _, run = failure(deployed, "zones", day="2026-01-22", database=str(tmp_path / "no" / "z.db"))
    assert "make it, or name another database" in str(run["error"])


# 4: approval


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Real files, of 7, 9 and 11 KB, and one too small to be asked about."""
    for name, size in {"a": 7_000, "below/b": 9_000, "below/c": 11_000, "small": 10}.items():
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
    return tmp_path / "folder"


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_approval_deletes_what_was_approved_and_still_is_as_it_was(deployed: Stack, folder: Path):
    run = deployed.start_run("free-space", folder=str(folder), at_least=5_000)
    [wait] = paused(deployed, run)["waits"]
    assert wait["title"].startswith("Delete 3 files, 27,000 bytes?")
    assert left(folder) == {"a", "b", "c", "small"}
    (folder / "a").write_bytes(bytes(8_000))
    answered = deployed.headway(
        "runs", "input", run, "-p", "approve=true", "-p", 'keep=["below/b"]'
    )
    assert answered.returncode == 0, answered.stderr
    assert result(deployed.ended(run)) == "freed 11,000 bytes; 2 of 3 files were to go"
    assert left(folder) == {"a", "b", "small"}


def test_approval_asks_again_for_a_misspelt_name_and_a_refusal_deletes_nothing(
    deployed: Stack, folder: Path
):
    run = deployed.start_run("free-space", folder=str(folder), at_least=5_000)
    paused(deployed, run)
    misspelt = {"approve": True, "keep": ["below/x"]}
    deployed.api("POST", f"/runs/{run}/input", {"value": misspelt})
    [wait] = paused(deployed, run, attempt=2)["waits"]
    assert wait["title"].startswith("Not among the files: below/x. Delete 3 files")
    refusal = {"approve": False, "comment": "not before Friday"}
    deployed.api("POST", f"/runs/{run}/input", {"value": refusal})
    assert result(deployed.ended(run)) == "refused: not before Friday"
    assert left(folder) == {"a", "b", "c", "small"}


def test_approval_that_nobody_gives_deletes_nothing(deployed: Stack, folder: Path):
    hours = 1 / 3600
    found = completed(
        deployed, "free-space", folder=str(folder), at_least=5_000, hours_to_answer=hours
    )
    assert found == "nobody answered: nothing was deleted"
    assert left(folder) == {"a", "b", "c", "small"}


# 5: partial failure


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Files of the standard library, and three that cannot be read as Python."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for file in sorted(STDLIB.glob("*.py"))[:20]:
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "old.py").write_text('print "hello"\n')
    (folder / "latin.py").write_bytes(b"# caf\xe9\n")
    (folder / "binary.py").write_bytes(b"\0")
    return folder


def test_some_failures_are_tolerated_and_told(deployed: Stack, sources: Path):
    found = completed(deployed, "survey", folder=str(sources), tolerated=0.2)
    assert (found["files"], found["failed"]) == (20, ["binary.py", "latin.py", "old.py"])
    assert found["figures"]["functions"] > 100


def test_too_many_fail_the_run_and_a_resumed_one_reads_those_alone_again(
    deployed: Stack, sources: Path
):
    run, ended = failure(deployed, "survey", folder=str(sources), tolerated=0.0)
    assert "3 of 23 files cannot be read" in str(ended["error"])
    for name in ("old.py", "latin.py", "binary.py"):
        (sources / name).write_text("def mended(): ...\n")
    resumed = deployed.headway("runs", "resume", run, "--yes", "-o", "json")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    made = json.loads(resumed.stdout)["id"]
    assert result(deployed.ended(made))["files"] == 23
    assert executed(deployed, made, "measure") == 3


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"tolerated": 5}, "between 0 and 1"), ({"folder": "/nowhere"}, "is no directory")],
)
def test_a_survey_refuses_what_cannot_be(deployed: Stack, wrong: dict[str, Any], told: str):
    _, ended = failure(deployed, "survey", **wrong)
    assert told in str(ended["error"])


# 3: many files


def test_many_files_are_digested_and_twins_are_found(deployed: Stack, tmp_path: Path):
    manifest, folder = tmp_path / "manifest.csv", tmp_path / "files"
    folder.mkdir()
    for file in sorted(STDLIB.glob("*.py"))[:150]:
        (folder / file.name).write_bytes(file.read_bytes())
    twin = STDLIB / "argparse.py"
    (folder / "twin.py").write_bytes(twin.read_bytes())
    summary = completed(deployed, "fingerprint", manifest=str(manifest), folder=str(folder))
    assert (summary["files"], summary["unreadable"]) == (151, 0)
    assert summary["wasted"] == twin.stat().st_size
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row["sha256"] for row in csv.DictReader(file)}
    expected = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
    }
    assert rows == expected


def test_an_empty_folder_has_an_empty_manifest(deployed: Stack, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    manifest = tmp_path / "manifest.csv"
    summary = completed(
        deployed, "fingerprint", manifest=str(manifest), folder=str(tmp_path / "empty")
    )
    assert (summary["files"], manifest.read_text().split()) == (0, ["path,size,sha256"])


# 5: training


def test_training_keeps_the_best_model_and_computes_nothing_twice(deployed: Stack, tmp_path: Path):
    small = {"folder": str(tmp_path), "gammas": [0.01]}
    first = completed(deployed, "train", **small, cs=[0.1, 10])
    assert first["best"]["settings"] == {"c": 10.0, "gamma": 0.01}
    assert first["held_out"] > 0.95
    written = Path(first["model"]).read_bytes()
    run = deployed.start_run("train", **small, cs=[0.1, 10, 5])
    ended = result(deployed.ended(run))
    assert ended["tried"] == 3
    assert executed(deployed, run, "cross_validate") == 1
    assert Path(first["model"]).read_bytes() == written


def test_training_keeps_nothing_that_is_not_good_enough(deployed: Stack, tmp_path: Path):
    _, run = failure(
        deployed, "train", folder=str(tmp_path / "none"), cs=[0.1], gammas=[0.01], at_least=0.999
    )
    assert "widen the grid" in str(run["error"])
    assert not (tmp_path / "none").exists()
