"""Secrets under the real supervisor: what lands on the disk, and so what could leave, holds no value, whatever the flow does with it."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from headway.runtime.frames_log import read
from support.attempts import lines_of, template, wait_dead
from support.flow_process import VALIDATOR, Project

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

CHILD = "headway.runtime.child:run_attempt"
VALUE = "sw0rd f/ish\"é'7\\n"
LINES = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQDAQxSd\n-----END KEY-----"


class Trial:
    """Attempts of one run, its secrets in a directory."""

    def __init__(self, project: Project, tmp_path: Path) -> None:
        self.project = project
        self.secrets = tmp_path / "secrets"
        self.secrets.mkdir(mode=0o700)
        self.put("db-password", VALUE)
        self.logs: list[str] = []
        self.run_dir = Path()

    def put(self, name: str, value: str, mode: int = 0o600) -> None:
        path = self.secrets / name
        path.write_text(value + "\n", encoding="utf-8")
        path.chmod(mode)

    def attempt(self, parameters: dict[str, Any] | None = None, **configured: Any) -> "Attempt":
        fence = len(self.logs) + 1
        self.run_dir = self.project.runs / str(fence)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        start = {
            "protocol": 1,
            "run": "run-1",
            "fence": fence,
            "run_name": "brisk-otter",
            "flow": "main",
            "deployment": "main/test",
            "entrypoint": "flows:main",
            "root": str(self.project.root),
            "environment": "test",
            "env": {"PATH": os.environ["PATH"]},
            "parameters": parameters or {},
            "journal": list(self.logs),
            "store": str(self.project.store),
            "secrets": {"directory": str(self.secrets), **configured},
        }
        (self.run_dir / "start.json").write_text(json.dumps(start))
        with template(child=CHILD, **dict.fromkeys(configured.get("kept", ()), VALUE)) as one:
            wait_dead(one.spawn(self.run_dir)["pid"])
        self.logs.append(str(self.run_dir / "frames.log"))
        return Attempt(self.run_dir)


class Attempt:
    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.facts = [frame for _, frame in read(run_dir / "frames.log")]
        self.lines = [line["text"] for line in lines_of(run_dir)]
        for fact in self.facts:
            VALIDATOR.validate(fact)

    @property
    def ended(self) -> dict[str, Any]:
        return next(f for f in self.facts if f["type"] == "attempt.ended")

    def of(self, kind: str, name: str) -> list[dict[str, Any]]:
        return [f for f in self.facts if f["type"] == kind and f.get("name") == name]

    def on_disk(self) -> bytes:
        """All that stands in the attempt's directory, but what results hold: those are for the next attempt."""
        (self.run_dir / "start.json").read_text()
        stripped = []
        for fact in self.facts:
            shown = json.loads(json.dumps(fact))
            shown.get("result", {}).pop("data", None)
            stripped.append(json.dumps(shown, ensure_ascii=False))
        others = [
            path.read_bytes()
            for path in sorted(self.run_dir.rglob("*"))
            if path.is_file() and path.name != "frames.log" and path.parent.name != "results"
        ]
        return "\n".join(stripped).encode() + b"\n".join(others)


@pytest.fixture
def trial(project: Project, tmp_path: Path) -> Trial:
    return Trial(project, tmp_path)


def forms(value: str = VALUE) -> list[bytes]:
    raw = value.encode()
    return [
        raw,
        repr(value)[1:-1].encode(),
        json.dumps(value)[1:-1].encode(),
        json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        base64.b64encode(raw)[:16],
        raw.hex().encode(),
        b"sw0rd%20f",
        b"sw0rd+f",
    ]


def assert_nothing_shows(attempt: Attempt, value: str = VALUE) -> None:
    content = attempt.on_disk()
    assert [form for form in forms(value) if form in content] == []


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
