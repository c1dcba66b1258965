"""Wrong credentials, a busy port or home, a database of a newer Headway: each is told with what to do next."""

import subprocess

import psycopg
import pytest

from support.hand_agent import HandAgent, hand_agent
from support.stack import FLOWS, HEADWAY

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("bad-setup"),
]


def tried(command, environment):
    """A command that is expected to end by itself: code and everything it said."""
    done = subprocess.run(
        command,
        cwd=FLOWS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("Bearer headway_key_nonsense", "set HEADWAY_API_KEY to a live key"),
        ("Bearer ", "Authorization: Bearer"),
        ("", "Authorization: Bearer"),
        ("Basic aGVhZHdheQ==", "Authorization: Bearer"),
    ],
)
def test_a_wrong_api_key(headway, header, hint):
    status, problem = headway.api.answer("GET", "/runs", Authorization=header)
    assert (status, problem["code"]) == (401, "not_authenticated")
    assert hint in problem["hint"]


def test_the_command_line_with_a_wrong_api_key(headway):
    environment = headway.environment | {"HEADWAY_API_KEY": "headway_key_nonsense"}
    code, said = tried([HEADWAY, "runs", "ls"], environment)
    assert code == 4
    assert "unknown, mistyped, expired or revoked" in said
    assert "Next: Log in again: headway login" in said


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("headway_enrol_nonsense", "get a new one with `headway agents token POOL`"),
        ("", "get a token with `headway agents token POOL`"),
    ],
)
def test_a_wrong_enrolment_token(headway, tmp_path, token, text):
    agent = HandAgent(headway, "local", tmp_path / "agent")
    agent.set_token(token)
    code, said = tried(agent.command, headway.environment)
    assert code == 3
    assert text in said


def test_a_token_enrols_one_agent(headway, tmp_path):
    second = HandAgent(headway, "local", tmp_path / "second")
    with hand_agent(headway, "local", tmp_path / "first") as first:
        second.set_token(first.token_text())
        code, said = tried(second.command, headway.environment)
    assert code == 3
    assert "already used" in said
    assert "headway agents token POOL" in said


def test_a_port_in_use_names_one_that_is_free(headway, tmp_path):
    code, said = tried([HEADWAY, "up"], headway.environment | {"HEADWAY_HOME": str(tmp_path)})
    assert code == 1
    assert "is in use by another program. Nothing was started." in said
    assert "headway up --http-port" in said


def test_a_second_up_in_one_home(headway):
    code, said = tried([HEADWAY, "up"], headway.environment)
    assert code == 1
    assert f"already in use by process {headway.process.pid}" in said
    assert f"kill {headway.process.pid}" in said
    assert headway.api("GET", "/whoami")["actor"]


def test_a_database_of_a_newer_headway_is_left_alone(headway):
    """The server that runs goes on; one that starts looks first, and touches nothing."""
    url = headway.database_url
    with psycopg.connect(url, autocommit=True) as connection:
        ((version,),) = connection.execute("SELECT version_num FROM headway_version").fetchall()
        connection.execute("UPDATE headway_version SET version_num = '9999'")
        try:
            environment = headway.environment | {"HEADWAY_DATABASE_URL": url}
            for words in (["server", "start"], ["server", "migrate"]):
                code, said = tried([HEADWAY, *words], environment)
                assert code != 0
                assert "9999" in said
                assert "pip install -U headway-control-plane" in said
        finally:
            connection.execute("UPDATE headway_version SET version_num = %s", [version])
