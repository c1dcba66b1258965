"""The env file of an environment when a second deployment does not name it."""

import tomllib
from pathlib import Path

import pytest

from headway.cli.environments import Environment, project_of, record
from headway.cli.errors import CommandError

WITH = Environment("/p", "/flows", "/flows/prod.env")
WITHOUT = Environment("/p", "/flows")


def env_file(path: Path) -> str:
    return str(tomllib.loads(path.read_text())["environments"]["e"]["env_file"])


def test_a_deployment_that_names_no_env_file_keeps_the_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    assert record(path, "e", WITH, replace=False)
    assert not record(path, "e", WITHOUT, replace=False)
    assert env_file(path) == "/flows/prod.env"


def test_another_env_file_is_refused_unless_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    record(path, "e", WITHOUT, replace=False)
    with pytest.raises(CommandError, match="and not for"):
        record(path, "e", WITH, replace=False)
    assert env_file(path) == ""
    assert record(path, "e", WITH, replace=True)
    assert record(path, "e", WITHOUT, replace=True)
    assert env_file(path) == ""


def test_a_projects_name_stays_until_its_environment_stands_for_other_code(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    named = Environment("/p", "/flows", project="billing")
    assert record(path, "e", named, replace=False)
    assert not record(path, "e", WITHOUT, replace=False)
    assert project_of(path, "e") == "billing"
    with pytest.raises(CommandError, match="project billing on this machine, and not for"):
        record(path, "e", Environment("/p", "/flows", project="shop"), replace=False)
    assert record(path, "e", Environment("/p", "/others"), replace=True)
    assert project_of(path, "e") == ""
    assert project_of(path, "unknown") == ""
