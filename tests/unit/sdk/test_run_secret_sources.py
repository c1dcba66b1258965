"""Where a flow's secrets are looked up, how often and by whom, and what it is told where there are none."""

import json
from pathlib import Path

import pytest

from support.flow_process import Project
from support.secret_trials import VALUE, Trial, assert_nothing_shows

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def trial(project: Project, tmp_path: Path) -> Trial:
    return Trial(project, tmp_path)


def test_a_new_attempt_reads_anew_and_an_attempt_reads_once(trial: Trial):
    trial.project.write(
        """
        import hashlib
        EARLY = secret("db-password").get()

        @flow
        def main(path: str):
            Path(path).write_text("changed-value")
            assert secret("db-password").get() == EARLY
            return hashlib.sha256(EARLY.encode()).hexdigest()
        """
    )
    path = str(trial.secrets / "db-password")
    digests = [json.loads(trial.attempt({"path": path}).ended["result"]["data"]) for _ in range(2)]
    assert len(set(digests)) == 2


def test_workers_and_threads_look_up_by_themselves(trial: Trial):
    trial.put("other", "threaded-value")
    trial.project.write(
        """
        @task
        def in_worker(n):
            print("worker", secret("db-password").get())
            return secret("db-password").get()

        @flow(task_runner=ProcessRunner(2))
        def main(handle: Secret):
            values = [f.result() for f in in_worker.map([1, 2, 3])]
            print("flow", values[0], handle.get())
            return handle
        """
    )
    attempt = trial.attempt({"handle": "other"})
    assert attempt.ended["outcome"] == "completed"
    assert attempt.ended["result"]["data"] == '{"$":"secret","v":"other"}'
    assert "flow [redacted:db-password] [redacted:other]" in attempt.lines
    assert attempt.lines.count("worker [redacted:db-password]") == 3
    assert_nothing_shows(attempt)
    assert b"threaded-value" not in attempt.on_disk()
    for ended in attempt.of("call.ended", "in_worker"):
        assert "secrets" in ended["result"]


def test_a_missing_secret_names_the_places_and_what_to_do(trial: Trial):
    trial.project.write(
        """
        class Provider:
            def get(self, name):
                return None

        @flow
        def main():
            try:
                secret("nope").get()
            except SecretNotFound as error:
                assert isinstance(error, LookupError) and error.name == "nope" and len(error.places) == 3
                raise
        """
    )
    error = trial.attempt(provider="flows:Provider").ended["error"]
    assert error["class"] == "headway.SecretNotFound"
    for word in (
        "HEADWAY_SECRET_NOPE",
        str(trial.secrets / "nope"),
        "flows:Provider",
        "environments.toml",
    ):
        assert word in error["message"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("class P:\n    def get(self, name): raise OSError('with ' + 'value-inside')", "failed for 'x': OSError"),
        ("class P:\n    def get(self, name): return 5", "gave int"),
        ("P = 5", "has no method get"),
        ("", "cannot be loaded"),
    ],
)  # fmt: skip
def test_a_provider_that_fails_is_told_of(trial: Trial, source: str, told: str):
    trial.project.write(
        f"{source}\n@flow\ndef main():\n    secret('x').get()\n".replace("\n", "\n" + " " * 8).join(
            ["        ", "\n"]
        )
    )
    error = trial.attempt(provider="flows:P").ended["error"]
    assert error["class"] == "headway.SecretError"
    assert told in error["message"]


def test_files_that_lie_open_are_refused(trial: Trial):
    trial.put("mine", "some-value", 0o640)
    trial.put("written", "some-value", 0o622)
    trial.project.write(
        """
        @flow
        def main(name: str):
            return len(secret(name).get())
        """
    )
    assert trial.attempt({"name": "mine"}).ended["outcome"] == "completed"
    error = trial.attempt({"name": "written"}).ended["error"]
    assert "chmod go-w" in error["message"]


def test_short_values_and_values_in_parameters_are_warned_of(trial: Trial):
    trial.put("pin", "1234")
    trial.project.write(
        """
        @flow
        def main(given: str):
            secret("pin").get()
            secret("db-password").get()
        """
    )
    attempt = trial.attempt({"given": f"x {VALUE}"})
    text = "\n".join(attempt.lines)
    assert "ShortSecret: the value of 'pin' is too short" in text
    assert "a parameter of this run holds the value of 'db-password'" in text


def test_an_older_agent_is_told_of(trial: Trial, project: Project):
    project.write("@flow\ndef main():\n    secret('x').get()\n")
    assert "update headway-agent" in project.run().ended["error"]["message"]


def test_a_process_that_the_flow_forks_looks_nothing_up(trial: Trial):
    trial.put("late", "late-value-123")
    trial.project.write(
        """
        import os

        @flow
        def main():
            secret("db-password").get()
            if (pid := os.fork()) == 0:
                print("known", secret("db-password").get(), flush=True)
                try:
                    print(secret("late").get(), flush=True)
                except SecretError as error:
                    print(error, flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
        """
    )
    attempt = trial.attempt()
    assert "known [redacted:db-password]" in attempt.lines
    assert any("a process that the flow has forked" in line for line in attempt.lines)
