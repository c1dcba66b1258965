"""Parameters that do not fit are refused at the call: all that is wrong at once, and no run comes of it."""

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.xdist_group("bad-parameters"),
]


def refused(headway, deployment, parameters):
    before = headway.api("GET", "/runs?limit=1")["items"]
    status, problem = headway.api.answer(
        "POST", "/runs", {"deployment": deployment, "parameters": parameters}
    )
    assert status >= 400, problem
    assert headway.api("GET", "/runs?limit=1")["items"] == before
    return status, problem


def told(problem):
    return {error["path"]: error["message"] for error in problem["errors"]}


def test_every_wrong_parameter_is_named_in_one_answer(headway):
    status, problem = refused(headway, "typed", {"cuont": 3, "word": 4})
    assert (status, problem["code"]) == (422, "invalid_parameters")
    assert told(problem) == {
        "parameters.count": "is required",
        "parameters.cuont": "is not a parameter; there are: count, word",
        "parameters.word": "4 is not of type 'string'",
    }
    assert problem["hint"] == "See what it takes with: headway deployments show typed"


def test_the_command_line_says_the_same(headway):
    done = headway.headway("run", "typed", "-p", "cuont=3", "-p", "word=4")
    assert done.returncode == 3
    assert done.stdout == ""
    for text in (
        "parameters.count is required",
        "parameters.cuont is not a parameter; there are: count, word",
        "parameters.word 4 is not of type 'string'",
        "Next: See what it takes with: headway deployments show typed",
    ):
        assert text in done.stderr


def test_parameters_that_are_too_large(headway):
    status, problem = refused(headway, "echoes", {"text": "x" * (256 * 1024)})
    assert (status, problem["code"]) == (413, "too_large")
    assert "262,144" in problem["detail"]
    assert "pass its name" in problem["hint"]
    largest = "x" * (256 * 1024 - len('{"text":""}'))
    ended = headway.ended(headway.start_run("echoes", text=largest))
    assert ended["state"] == "completed"


@pytest.mark.parametrize(
    ("text", "fault"), [("a\0b", "NUL"), ("a\ud800b", "surrogate"), ("\udc00\ud800", "surrogate")]
)
def test_text_that_no_database_keeps(headway, text, fault):
    status, problem = refused(headway, "echoes", {"text": text})
    assert (status, problem["code"]) == (422, "invalid_parameters")
    assert fault in told(problem)["parameters.text"]
    assert "remove it" in told(problem)["parameters.text"]


def test_any_other_text_arrives_as_it_is(headway):
    text = "\u0001\u007f\u2028 \U0001f600 e\u0301 \u202e \r\n\t\\ \"'"
    ended = headway.ended(headway.start_run("echoes", text=text))
    assert ended["parameters"] == {"text": text}
    assert ended["state"] == "completed"


def test_a_deployment_that_is_not_there(headway):
    status, problem = refused(headway, "tpyed", {})
    assert (status, problem["code"]) == (404, "not_found")
    assert "headway deployments ls" in problem["hint"]
