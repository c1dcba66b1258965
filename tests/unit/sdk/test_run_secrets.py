"""Secrets under the real supervisor: what lands on the disk, and so what could leave, holds no value, whatever the flow does with it."""

import hashlib
import json
from pathlib import Path

import pytest

from support.flow_process import Project
from support.secret_trials import LINES, VALUE, Trial, assert_nothing_shows

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def trial(project: Project, tmp_path: Path) -> Trial:
    return Trial(project, tmp_path)


def test_a_value_shows_nowhere_whatever_the_flow_does_with_it(trial: Trial):
    trial.project.write(
        """
        import base64, json, logging, os, subprocess, sys, urllib.parse

        @task(retries=1, retry_delay=0, task_run_name="for {who}")
        def use(who, boom=False):
            value = secret("db-password").get()
            logging.getLogger("lib").warning("with %s", value)
            if boom:
                local = value
                raise RuntimeError(f"cannot log in with {value!r}") from ValueError(value)
            return {"dsn": f"user:{value}@host", "n": 1}

        @flow
        def main():
            handle = secret("db-password")
            value = handle.get()
            print("plain", value, "shown", handle, f"{handle:>9}", repr([handle]))
            print(repr(value), json.dumps({"v": value}), json.dumps([value], ensure_ascii=False))
            for before in ("", "u", "u:"):
                print("Basic", base64.b64encode((before + value + "@").encode()).decode())
            print(urllib.parse.quote(value), urllib.parse.quote_plus(value), value.encode().hex())
            subprocess.run([sys.executable, "-c", "import sys; print(sys.argv[1]); print(sys.argv[1], file=sys.stderr)", value])
            for at in range(1, len(value), 3):
                sys.stdout.write(value[:at]); sys.stdout.flush()
                sys.stdout.write(value[at:] + "\\n"); sys.stdout.flush()
            print("x" * (64 * 1024 - 9) + value + "y" * 99)
            logging.info("y" * (64 * 1024 - 7) + value + "y" * 99)
            result = use(value)
            assert result["dsn"] == f"user:{value}@host"
            try:
                use("other", boom=True)
            except RuntimeError:
                logging.exception("failed with %s", value)
            use("other", boom=True)
        """
    )
    attempt = trial.attempt()
    assert_nothing_shows(attempt)
    assert attempt.ended["outcome"] == "failed"
    assert attempt.ended["error"]["message"] == "cannot log in with '[redacted:db-password]'"
    assert attempt.lines[0] == "plain [redacted:db-password] shown **** **** [****]"
    assert attempt.lines.count("[redacted:db-password]") >= 2
    (used,) = [f for f in attempt.of("call.ended", "use") if f["outcome"] == "completed"]
    assert used["run_name"] == "for [redacted:db-password]"
    assert VALUE in json.loads(used["result"]["data"])["dsn"], "the next attempt needs it"
    assert "[redacted:db-password]" in used["result"]["preview"]
    cut = [line for line in attempt.lines if " ... [cut " in line]
    assert len(cut) == 2
    assert all("sw0r" not in line for line in cut), (
        "the beginning of a value at the cut is taken out too"
    )


def test_what_a_kept_result_holds_is_taken_out_in_the_next_attempt_too(trial: Trial):
    trial.project.write(
        """
        @task
        def token():
            return {"token": redact("derived-" + secret("db-password").get(), "token")}

        @task(result="pickle")
        def large():
            return [secret("db-password").get(), "x" * 300_000]

        @flow
        def main(last: bool):
            a, b = token(), large()
            if last:
                print("kept", a["token"], b[0])
                return "done"
            raise SystemError("once more")
        """
    )
    first = trial.attempt({"last": False})
    trial.put("db-password", "another-value")
    second = trial.attempt({"last": True})
    assert second.ended["outcome"] == "completed"
    assert second.of("call.ended", "token")[0]["outcome"] == "skipped"
    assert second.lines[-1].startswith("kept [redacted:")
    assert_nothing_shows(first)
    assert_nothing_shows(second)


def test_variables_are_known_before_anybody_asks_and_are_not_written_down(trial: Trial):
    trial.project.write(
        """
        import os

        @flow
        def main():
            print(dict(os.environ))
            assert secret("db").get() == secret("token").get() == os.environ["PGPASSWORD"]
            os.execvp("env", ["env"])
        """
    )
    kept = {"PGPASSWORD": "db", "HEADWAY_SECRET_TOKEN": "token"}
    attempt = trial.attempt(kept=kept, variables={"db": "PGPASSWORD"})
    assert_nothing_shows(attempt)
    assert "PGPASSWORD=[redacted:db]" in attempt.lines


def test_long_lines_of_a_key_are_each_taken_out(trial: Trial):
    trial.put("key", LINES)
    trial.project.write(
        """
        @flow
        def main():
            key = secret("key").get()
            print(key)
            print("inner", key.splitlines()[2])
            raise ValueError(key)
        """
    )
    attempt = trial.attempt()
    content = attempt.on_disk()
    assert not [line for line in LINES.splitlines()[1:3] if line.encode() in content]
    assert "inner [redacted:key]" in attempt.lines


def test_a_secret_by_the_name_of_our_own_words_spoils_no_fact(trial: Trial):
    trial.put("word", "completed")
    trial.put("kind", "call.ended")
    trial.project.write(
        """
        @task
        def completed():
            return "completed"

        @flow
        def main():
            secret("word").get(), secret("kind").get()
            return completed()
        """
    )
    attempt = trial.attempt()
    assert attempt.ended["outcome"] == "completed"
    (ended,) = [f for f in attempt.facts if f["type"] == "call.ended"]
    assert (ended["outcome"], ended["name"]) == ("completed", "[redacted:word]")


def test_artifacts_and_events_hold_no_values(trial: Trial):
    trial.project.write(
        """
        import headway

        @task
        def tell(value):
            headway.artifacts.markdown(f"with {value}", key="report", description=value)
            headway.artifacts.table([{"a": value}])
            emit_event("loaded", value={"dsn": value})
            try:
                emit_event("loaded", key=value)
            except SecretError as error:
                print("refused:", error)

        @flow
        def main():
            value = secret("db-password").get()
            tell(value)
            try:
                wait_for_event("loaded", key=value)
            except SecretError as error:
                print("refused:", error)
        """
    )
    attempt = trial.attempt()
    assert attempt.ended["outcome"] == "completed"
    assert_nothing_shows(attempt)
    refused = [line for line in attempt.lines if line.startswith("refused:")]
    assert len(refused) == 2
    saved = [f for f in attempt.facts if f["type"] == "artifact.saved"]
    assert len(saved) == 2
    for one in saved:
        assert "[redacted:db-password]" in one["data"]
        assert one["digest"] == hashlib.sha256(one["data"].encode()).hexdigest()
    (event,) = [f for f in attempt.facts if f["type"] == "event.emitted"]
    assert json.loads(event["data"]) == {"dsn": "[redacted:db-password]"}


def test_a_file_that_holds_a_value_is_marked_to_stay_in_each_attempt(trial: Trial):
    trial.project.write(
        """
        @task
        def many():
            return [secret("db-password").get()] * 30_000

        @task
        def none():
            return ["x" * 20] * 30_000

        @flow
        def main():
            assert len(many()) == len(none())
        """
    )
    for _ in range(2):
        attempt = trial.attempt()
        assert attempt.ended["outcome"] == "completed"
        names = {path.name for path in (attempt.run_dir / "results").iterdir()}
        (marked,) = [name for name in names if name.endswith(".here")]
        (result,) = [each["result"] for each in attempt.of("call.ended", "many")]
        assert result["file"] == marked.removesuffix(".here")
        assert result["file"] in names
        assert len(names) == 3
