"""Secrets in flows that a test runs in memory."""

import pytest

import headway
from headway.testing import harness


@headway.task(task_run_name="for {who}")
def log_in(who: str) -> str:
    value = headway.secret("db-password").get()
    headway.get_run_logger().info("with %s", value)
    return f"{who}:{value}"


@headway.flow
def main(handle: headway.Secret | None = None) -> str:
    return log_in(headway.secret("db-password").get() if handle is None else handle.get())


@headway.flow
def by_name(handle: headway.Secret) -> str:
    return handle.name


@headway.flow(retries=1)
def missing() -> str:
    return headway.secret("nowhere").get()


def test_given_secrets_are_found_and_taken_out_of_what_is_recorded() -> None:
    with harness(secrets={"db-password": "hunter2x", "other": "swordfish"}) as h:
        run = h.run(main)
        assert run.result() == "hunter2x:hunter2x"
        assert [line.text for line in run.logs] == ["with [redacted:db-password]"]
        shown = str([{**event, "result": None} for event in run.events])
        assert "hunter2x" not in shown
        assert "for [redacted:db-password]" in shown
        assert h.run(main, handle="other").result() == "swordfish:hunter2x"


def test_the_next_attempt_reads_anew() -> None:
    with harness(secrets={"db-password": "hunter2x"}) as h:
        run = h.run(main, crash_after="log_in")
        h.secrets["db-password"] = "changed-value"
        assert run.again().result() == "changed-value:changed-value"


def test_a_missing_one_says_how_to_give_it() -> None:
    with harness() as h:
        error = h.run(missing).error
    assert isinstance(error, headway.SecretNotFound)
    assert "harness(secrets={...})" in str(error)
    assert "HEADWAY_SECRET_NOWHERE" in str(error)


def test_a_value_in_the_place_of_a_name_is_not_repeated() -> None:
    with harness() as h:
        run = h.run(by_name, handle="p@ss w0rd!")
    assert run.state == "refused"
    assert "p@ss" not in str(run.events)


def test_outside_a_run_a_secret_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_SECRET_DB_PASSWORD", "from-env")
    assert headway.secret("db-password").get() == "from-env"
    assert headway.redact("value-here") == "value-here"
    assert headway.redact(b"value-here") == b"value-here"
    with pytest.raises(headway.SecretNotFound, match="HEADWAY_SECRET_OTHER"):
        headway.secret("other").get()
    monkeypatch.setenv("HEADWAY_ATTEMPT", "1/1")
    with pytest.raises(headway.SecretNotFound, match="started by the flow"):
        headway.secret("other").get()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-a", "a" * 101, "a b", None])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(headway.SecretError, match="can name no secret"):
        headway.secret(name)


def test_a_secret_shows_as_stars_and_is_equal_by_name() -> None:
    one = headway.secret("a")
    assert (str(one), repr(one), f"{one:>20}", one.name) == ("****", "****", "****", "a")
    assert one == headway.Secret("a") != headway.secret("b")
    assert len({one, headway.secret("a")}) == 1


@headway.task
def sized() -> int:
    return int(headway.variables.get("batch-size", default=10))


@headway.flow
def with_variables() -> int:
    return sized()


def test_variables_are_given_by_the_test() -> None:
    with harness(variables={"batch-size": 100}) as h:
        assert h.run(with_variables).result() == 100
        h.variables.clear()
        assert h.run(with_variables).result() == 10
    with pytest.raises(headway.VariableNotFound, match="Outside a run"):
        headway.variables.get("batch-size")
    assert headway.variables.get("batch-size", default=3) == 3


@headway.flow
def asks_for_a_run() -> str:
    value = headway.secret("db").get()
    with pytest.raises(headway.SecretError) as refused:
        headway.run_deployment("other", {"dsn": f"user:{value}"})
    return str(refused.value)


def test_parameters_of_another_run_hold_no_value() -> None:
    with harness(secrets={"db": "pa'ss w0rd"}) as h:
        run = h.run(asks_for_a_run)
    assert "holds the value of 'db'" in run.result()
    assert "run.requested" not in str(run.events)
