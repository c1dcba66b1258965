"""What flows offer to other agents by the shared cache: no secret, and nothing by which an argument can be tried out."""

from pathlib import Path

import pytest

from headway.runtime.cache_store import parsed
from support.flow_process import Project
from support.secret_trials import VALUE, Trial, forms

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def trial(project: Project, tmp_path: Path) -> Trial:
    return Trial(project, tmp_path)


def offered(trial: Trial) -> list[bytes]:
    folder = trial.run_dir / "cache"
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []


@pytest.mark.parametrize(
    "looked_up",
    ['secret("db-password").get()', '__import__("os").environ["PGPASSWORD"]'],
    ids=["asked for", "a variable that nobody asked for"],
)
def test_results_that_hold_a_secret_are_not_offered(trial: Trial, looked_up: str):
    trial.project.write(
        f"""
        @task(cache=INPUTS)
        def dsn(host):
            return "postgres://me:" + {looked_up} + "@" + host

        @task(cache=INPUTS)
        def plain(host):
            return host

        @flow
        def main():
            dsn("db"), plain("db")
        """
    )
    attempt = trial.attempt(
        shared_cache="/nowhere", variables={"db": "PGPASSWORD"}, kept={"PGPASSWORD": "db"}
    )
    assert attempt.ended["outcome"] == "completed", attempt.ended
    entries = offered(trial)
    assert [entry.name for raw in entries if (entry := parsed(raw))] == ["plain"]
    assert not [form for form in forms(VALUE) for raw in entries if form in raw]


def test_an_entry_holds_no_digest_of_an_argument(trial: Trial):
    trial.project.write(
        """
        @task(cache=INPUTS)
        def load(pin):
            return 1

        @flow
        def main():
            load("1234")
        """
    )
    attempt = trial.attempt(shared_cache="/nowhere")
    (raw,) = offered(trial)
    entry = parsed(raw)
    assert entry is not None
    (ended,) = attempt.of("call.ended", "load")
    assert set(entry.parts) == {"task", "project", "inputs.pin", "source", "imports"}
    parts = ended["cache"]["parts"].items()
    digests = [digest for name, digest in parts if name not in {"task", "project"}]
    assert digests
    assert not [digest for digest in digests if digest.encode() in raw]
