"""Flows that cannot be executed, die, or say what no database keeps: the run says what happened and what to do, and nothing is lost."""

import hashlib
import json

import pytest

from support.misbehaviour import declare, execute, lines

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("bad-flows"),
]

ENTRYPOINTS = [
    ("bad_import:never", "RuntimeError", "no licence for this module"),
    ("nowhere.mod:f", "headway.EntrypointNotFound", "is the root right?"),
    ("bad_manners:nowhere", "headway.EntrypointNotFound", "deploy again if it was renamed"),
    ("bad_manners:not_a_flow", "headway.NotAFlow", "decorate it with @flow"),
    ("../secrets:main", "EntrypointRefused", "Deploy the flow again."),
]


@pytest.mark.parametrize(("entrypoint", "error", "text"), ENTRYPOINTS)
def test_an_entry_point_that_cannot_be_executed(headway, entrypoint, error, text):
    name = "-".join(filter(str.isalpha, entrypoint))
    declare(headway, name, entrypoint)
    ended = execute(headway, name)
    assert (ended["state"], ended["attempt"]) == ("failed", 1)
    assert ended["error"]["class"] == error
    assert text in ended["error"]["message"]


def test_code_outside_the_agents_roots_is_not_executed(headway, tmp_path):
    (tmp_path / "elsewhere.py").write_text(
        "from headway import flow\n@flow\ndef main():\n    open('executed', 'w')\n"
    )
    headway.deploy("elsewhere:main", "elsewhere", "--environment", "other", root=tmp_path)
    ended = execute(headway, "elsewhere")
    assert (ended["state"], ended["error"]["class"]) == ("failed", "EntrypointRefused")
    assert "Start the agent with --root for it." in ended["error"]["message"]
    assert "refused" in ended["reason_text"]
    assert not (tmp_path / "executed").exists()


def test_an_environment_that_this_machine_does_not_have(headway):
    declare(headway, "lost-env", "bad_manners:exits", environment="nowhere")
    ended = execute(headway, "lost-env")
    assert (ended["state"], ended["error"]["class"]) == ("failed", "EnvironmentRefused")
    assert "Run `headway deploy` on this machine." in ended["error"]["message"]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("bad_import:never", "no licence for this module"),
        ("bad_manners:nowhere", "has no 'nowhere'"),
        ("bad_manners:not_a_flow", "decorate it with @flow"),
        ("nowhere:f", "no module 'nowhere'"),
    ],
)
def test_deploy_says_why_it_cannot(headway, target, text):
    done = headway.headway("deploy", target, "--name", "never-made")
    assert done.returncode == 3
    assert text in done.stderr
    assert "Next: " in done.stderr
    assert headway.api.answer("GET", "/deployments/never-made")[0] == 404


def test_a_process_that_exits_behind_our_back(headway):
    ended = execute(headway, "exits-hard")
    assert (ended["state"], ended["reason_text"]) == (
        "crashed",
        "process died (exit: exit code 3)",
    )
    assert [line["text"] for line in lines(headway, ended["id"], 1)] == ["before"]


@pytest.mark.parametrize(("name", "text"), [("exits", "4"), ("says-no-more", "no input today")])
def test_sys_exit_is_an_error_of_the_flow(headway, name, text):
    ended = execute(headway, name)
    assert (ended["state"], ended["error"]["class"]) == ("failed", "SystemExit")
    assert ended["error"]["message"] == text


def test_text_that_no_database_keeps(headway):
    """NUL and lone surrogates are replaced where people read, and kept where a value is meant."""
    ended = execute(headway, "says-the-unsayable")
    assert ended["state"] == "completed"
    assert json.loads(ended["result"]["preview"])["$"] == "str"
    said = {line["source"]: line["text"] for line in lines(headway, ended["id"], 2)}
    assert said == {
        "stdout": "printed: a\\ud800b\ufffdc",
        "log": "logged: a\ufffdb\ufffdc",
    }
    ended = execute(headway, "raises-the-unsayable")
    assert ended["error"]["message"] == "a\ufffdb\ufffdc"


def test_a_large_result_goes_into_a_file(headway):
    ended = execute(headway, "returns-a-large-value")
    encoded = json.dumps("x" * (10 * 1024 * 1024)).encode()
    digest = hashlib.sha256(encoded).hexdigest()
    assert ended["state"] == "completed"
    result = ended["result"]
    assert (result["digest"], result["size_bytes"]) == (digest, len(encoded))
    assert (result["preview"], result["reference"]) == (None, digest)
    file = headway.run_directory(ended["id"], 1) / "results" / digest
    assert file.read_bytes() == encoded


def test_a_result_that_cannot_be_kept_says_what_to_return(headway):
    ended = execute(headway, "returns-an-object")
    assert (ended["state"], ended["result"]["codec"]) == ("completed", "none")
    (line,) = lines(headway, ended["id"], 1)
    assert line["level"] == "WARNING"
    assert "return plain data, register a codec" in line["text"]


def test_errors_beyond_any_measure(headway):
    ended = execute(headway, "recurses")
    assert (ended["state"], ended["error"]["class"]) == ("failed", "RecursionError")
    assert len(ended["error"]["traceback"]) <= 50
    ended = execute(headway, "raises-a-huge-message")
    assert (ended["state"], ended["error"]["class"]) == ("failed", "RuntimeError")
    assert len(ended["error"]["message"]) < 256 * 1024
    assert ended["error"]["message"].startswith("mmm")


def test_a_line_of_ten_megabytes(headway):
    ended = execute(headway, "prints-a-long-line")
    assert ended["state"] == "completed"
    long, after = (line["text"] for line in lines(headway, ended["id"], 2))
    cut = 10 * 1024 * 1024 - 64 * 1024
    assert long == "l" * (64 * 1024) + f" ... [cut {cut} bytes]"
    assert after == "after"


def test_a_hundred_thousand_lines(headway):
    ended = execute(headway, "prints-many-lines", count=100_000)
    assert ended["state"] == "completed"
    found = lines(headway, ended["id"], 100_000)
    assert [line["line"] for line in found] == list(range(1, 100_001))
    assert [line["text"] for line in found] == [str(n) for n in range(100_000)]
