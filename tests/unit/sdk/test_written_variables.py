"""Variables that flows set: what is told, what the run sees of it, once over all attempts."""

import json
from pathlib import Path

import pytest

from headway import InvalidOption, OutputRefused, SecretError, flow, sleep, task, variables
from headway.compat import prefect
from headway.testing import VariableRecord, harness
from support.flow_process import Project
from support.secret_trials import Trial

SETTABLE = {"variables": "settable"}


@flow
def count(by: int) -> int:
    before = variables.get("n", 0)
    variables.set("n", before + by)
    sleep(60)
    return variables.get("n")


def test_a_run_reads_at_once_what_it_has_set_and_later_runs_find_it():
    with harness(variables={"n": 3}) as h:
        assert h.run(count, by=2).result() == 5
        assert h.variables == {"n": 5}
        run = h.run(count, by=1)
        assert run.result() == 6
        assert run.variables_written == [VariableRecord("n", 6, False, None, None)]


def test_it_is_written_once_over_all_attempts():
    @task
    def work() -> int:
        return 1

    @flow
    def main() -> int:
        variables.set("state", "begun")
        return work()

    with harness() as h:
        run = h.run(main, crash_after="work")
        h.variables["state"] = "somebody else's"
        run.again()
        assert run.result() == 1
        assert len(run.variables_written) == 1
        assert h.variables == {"state": "somebody else's"}


def test_a_flow_that_reads_what_it_wrote_counts_once_over_all_attempts():
    @task
    def work(n: int) -> int:
        return n

    @flow
    def main() -> int:
        variables.set("n", variables.get("n", 0) + 1)
        work(1)
        variables.set("n", variables.get("n") + 10)
        return work(2)

    with harness() as h:
        run = h.run(main, crash_after="work")
        assert h.variables == {"n": 1}
        h.variables["n"] = 100
        run.again()
        assert run.result() == 2
        assert [written.value for written in run.variables_written] == [1, 110]
        assert h.variables == {"n": 110}


def test_deleting_and_setting_only_what_is_not_there():
    @flow
    def main() -> list[object]:
        variables.set("first", 1, expected_version=0)
        variables.set("there", 2, expected_version=0, tags=["b", "a", "b"])
        variables.delete("old")
        variables.delete("never-was")
        return [variables.get("first"), variables.get("old", None)]

    with harness(variables={"there": 1, "old": 1}) as h:
        run = h.run(main)
        assert run.result() == [1, None]
        assert h.variables == {"first": 1, "there": 1}
        assert run.variables_written[1].tags == ("a", "b")


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: variables.set("no spaces", 1), InvalidOption, "letters, digits"),
        (lambda: variables.set("a" * 201, 1), InvalidOption, "200"),
        (lambda: variables.set("a", object()), OutputRefused, "no JSON form"),
        (lambda: variables.set("a", "x" * 70_000), OutputRefused, "65,536"),
        (lambda: variables.set("a", 1, tags="abc"), InvalidOption, "list of texts"),
        (lambda: variables.set("a", 1, tags=[" "]), InvalidOption, "printable"),
        (lambda: variables.set("a", 1, expected_version=-1), InvalidOption, "variables ls"),
        (lambda: variables.delete("a", expected_version=True), InvalidOption, "variables ls"),
    ],
)
def test_what_cannot_be_is_refused_at_the_call_even_outside_a_run(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()


def test_outside_a_run_it_goes_nowhere():
    variables.set("a", 1)
    variables.delete("a")
    assert variables.get("a", None) is None


def test_a_secret_does_not_become_a_variable():
    @flow
    def main() -> None:
        from headway import secret

        variables.set("dsn", f"postgresql://{secret('password').get()}@db")

    with harness(secrets={"password": "correct horse"}) as h:
        run = h.run(main)
        assert isinstance(run.error, SecretError)
        assert h.variables == {}


def test_prefects_variable_sets_and_unsets():
    @prefect.flow
    def main():
        prefect.Variable.set("cursor", 1)
        with pytest.raises(ValueError, match="already exists"):
            prefect.Variable.set("cursor", 2)
        prefect.Variable.set("cursor", 3, tags=["etl"], overwrite=True)
        assert prefect.Variable.unset("old") is True
        assert prefect.Variable.unset("old") is False
        return prefect.Variable.get("cursor")

    with harness(variables={"old": 1}) as h:
        assert h.run(main).result() == 3
        assert h.variables == {"cursor": 3}


@pytest.mark.process
@pytest.mark.timeout(120)
class TestInAProcess:
    @pytest.fixture
    def trial(self, project: Project, tmp_path: Path) -> Trial:
        return Trial(project, tmp_path)

    def given(self, trial: Trial, fence: int, values: dict[str, object]) -> None:
        run_dir = trial.project.runs / str(fence)
        run_dir.mkdir(parents=True)
        (run_dir / "variables.json").write_text(json.dumps(values))

    def test_processes_of_the_run_see_each_others_writes(self, trial: Trial):
        trial.project.write(
            """
            from headway import variables

            @task
            def bump(by):
                variables.set("n", variables.get("n") + by)
                return variables.get("n")

            @flow(task_runner=ProcessRunner(1))
            def main():
                variables.set("n", variables.get("n") + 1)
                assert bump.submit(10).result() == 111
                variables.delete("old")
                return [variables.get("n"), variables.get("old", "gone")]
            """
        )
        self.given(trial, 1, {"n": 100, "old": 1})
        attempt = trial.attempt(told=SETTABLE)
        assert json.loads(attempt.ended["result"]["data"]) == [111, "gone"]
        told = [fact for fact in attempt.facts if fact["type"] == "variable.written"]
        assert [fact.get("data") for fact in told] == ["101", "111", None]

    def test_after_a_lost_attempt_it_is_told_again(self, trial: Trial):
        trial.project.write(
            """
            from headway import variables

            @flow
            def main():
                variables.set("n", 1)
                assert variables.get("n") == 1, variables.get("n")
                raise ValueError("again")
            """
        )
        first = trial.attempt(told=SETTABLE)
        self.given(trial, 2, {"n": 1})
        second = trial.attempt(told=SETTABLE)
        self.given(trial, 3, {"n": 7})
        third = trial.attempt(told={**SETTABLE, "unheard": True})
        told = [
            [fact["id"] for fact in attempt.facts if fact["type"] == "variable.written"]
            for attempt in (first, second, third)
        ]
        assert told[0] == told[2] != []
        assert told[1] == []
        assert third.ended["error"]["class"] == "ValueError"

    @pytest.mark.parametrize(
        ("start", "text"),
        [
            ({"variables": "withheld"}, "lack `name` or `parameters`"),
            ({}, "too old for it"),
        ],
    )
    def test_where_it_may_not_leave_the_call_says_so(self, trial: Trial, start, text):
        trial.project.write(
            """
            from headway import variables

            @flow
            def main():
                variables.set("n", 1)
            """
        )
        error = trial.attempt(told=start).ended["error"]
        assert error["class"] == "headway.VariableRefused"
        assert text in error["message"]
