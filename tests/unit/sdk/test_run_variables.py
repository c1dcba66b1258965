"""The variables of an attempt."""

import json
from pathlib import Path

import pytest

from support.flow_process import Project
from support.secret_trials import Trial

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def trial(project: Project, tmp_path: Path) -> Trial:
    return Trial(project, tmp_path)


def test_an_attempt_has_the_variables_that_it_began_with(trial: Trial):
    trial.project.write(
        """
        from headway import variables

        @task
        def batch():
            return variables.get("batch-size")

        @flow(task_runner=ProcessRunner(1))
        def main():
            assert batch.submit().result() == 100
            limits = variables.get("limits")
            limits["rows"].append(3)
            assert variables.get("limits") == {"rows": [1, 2]}
            assert variables.get("nope", default=7) == 7
            assert variables.get("nope", None) is None
            variables.get("nope")
        """
    )
    run_dir = trial.project.runs / "1"
    run_dir.mkdir(parents=True)
    values = {"batch-size": 100, "limits": {"rows": [1, 2]}}
    (run_dir / "variables.json").write_text(json.dumps(values))
    error = trial.attempt().ended["error"]
    assert error["class"] == "headway.VariableNotFound", error
    assert "headway variables set nope VALUE" in error["message"]
