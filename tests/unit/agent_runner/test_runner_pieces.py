import asyncio
import socket
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from headway_agent.runner import adoption, secrets, start_file, wake
from headway_agent.runner.adoption import Evidence, next_step
from headway_agent.runner.api import AttemptKey
from headway_agent.runner.attempt import Attempt
from headway_agent.runner.environments import (
    EntrypointRefused,
    Environment,
    EnvironmentRefused,
    find,
    read,
    read_env_file,
    update,
)
from headway_agent.runner.secrets import SecretSources
from headway_agent.runner.template import child_env
from headway_agent.spool.frames import create_with
from headway_agent.spool.retention import (
    LEAST_US,
    KeptRun,
    choose,
    delete_leftovers,
    delete_run,
    size_of,
)
from support.runners import assignment

DEADLINE = 20.0


# Adoption.


@pytest.mark.parametrize(
    ("log", "alive", "step"),
    [
        ("absent", False, "start"),
        ("open", True, "watch"),
        ("open", False, "close"),
        ("exited", True, "report"),
        ("exited", False, "report"),
    ],
)
def test_what_files_call_for(log: adoption.Log, alive: bool, step: str) -> None:
    assert next_step(Evidence(log, alive)) == step


def test_only_an_attempt_without_a_log_is_started() -> None:
    started = [
        log
        for log in ("absent", "open", "exited")
        for alive in (True, False)
        if next_step(Evidence(log, alive)) == "start"
    ]  # type: ignore[arg-type]
    assert set(started) == {"absent"}


def test_the_last_word_for_a_lost_supervisor() -> None:
    starting = {"boot_id": "b", "at_us": 5}
    frame = adoption.lost(starting, None, boot_id="b", lines=3, now_us=9)
    assert (frame["outcome"], frame["cause"], frame["lines"], frame["started_at_us"]) == (
        "crashed",
        "supervisor lost",
        3,
        5,
    )
    ended = {"outcome": "failed", "error": {"class": "E"}}
    frame = adoption.lost(starting, ended, boot_id="c", lines=0, now_us=9)
    assert (frame["outcome"], frame["cause"], frame["error"]) == (
        "failed",
        "host restarted",
        {"class": "E"},
    )
    assert adoption.lost(None, None, boot_id="b", lines=0, now_us=9)["cause"] == "supervisor lost"


# Environments.


def made(tmp_path: Path, **changes: str) -> Path:
    file = tmp_path / "environments.toml"
    root = tmp_path / "code"
    root.mkdir(exist_ok=True)
    update(
        file, Environment(**({"name": "e", "python": sys.executable, "root": str(root)} | changes))
    )
    return file


def test_an_environment_is_found(tmp_path: Path) -> None:
    file = made(tmp_path)
    assert find(file, "e", "pkg.mod:flow", [tmp_path]).root == str(tmp_path / "code")


def test_what_another_writer_wrote_is_read_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "environments.toml"
    entry = {"python": "/p y/thon", "root": '/a "b"\\c', "env_file": ""}
    file.write_text(tomli_w.dumps({"environments": {"it.s": entry}}))
    update(file, Environment("new", "/x", "/é\n", "/y"))
    assert tomllib.loads(file.read_text())["environments"] == {
        "it.s": entry,
        "new": {"python": "/x", "root": "/é\n", "env_file": "/y"},
    }
    assert read(file)["it.s"] == Environment("it.s", "/p y/thon", '/a "b"\\c')


def test_where_secrets_are_is_read_kept_and_written(tmp_path: Path) -> None:
    file = made(tmp_path)
    sources = SecretSources("company.vault:Vault", "/run/secrets", {"db.pass": "PG PASS"})
    update(file, replace(read(file)["e"], secrets=sources))
    update(file, replace(read(file)["e"], name="other"))
    assert read(file)["e"].secrets == read(file)["other"].secrets == sources


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"secrets": "no provider"}, "package.module:provider"),
        ({"secrets": 5}, "package.module:provider"),
        ({"secrets_dir": "relative"}, "absolute path"),
        ({"secrets_env": {"../x": "A"}}, "a table from names"),
        ({"secrets_env": {"x": ""}}, "a table from names"),
        ({"secrets_env": ["x"]}, "a table from names"),
    ],
)
def test_a_place_of_secrets_that_is_none_is_refused(
    tmp_path: Path, entry: dict[str, Any], told: str
) -> None:
    file = tmp_path / "environments.toml"
    file.write_text(tomli_w.dumps({"environments": {"e": {"python": "/p", "root": "/r", **entry}}}))
    with pytest.raises(EnvironmentRefused, match=told):
        read(file)


def test_variables_that_hold_secrets_reach_the_flow_and_no_file(tmp_path: Path) -> None:
    sources = SecretSources(variables={"db": "PGPASSWORD", "gone": "NOT_SET"})
    env = {"PATH": "/bin", "PGPASSWORD": "p1", "HEADWAY_SECRET_API_KEY": "p2"}
    kept = secrets.variables_in(env, sources)
    assert kept == {"PGPASSWORD": "db", "HEADWAY_SECRET_API_KEY": "api-key"}
    assert secrets.for_start(sources, kept)["kept"] == kept
    assert child_env(env | {"HEADWAY_TOKEN": "t"}) == env


@pytest.mark.parametrize(
    "entrypoint", ["", "mod", "mod:", ":f", "a b:c", "mod:f()", "../x:f", "mod:f;g", "1a:f"]
)
def test_an_entry_point_of_another_form_is_refused(tmp_path: Path, entrypoint: str) -> None:
    with pytest.raises(EntrypointRefused):
        find(made(tmp_path), "e", entrypoint, [tmp_path])


def test_a_root_must_lie_below_the_agents_roots(tmp_path: Path) -> None:
    file = made(tmp_path)
    (tmp_path / "other").mkdir()
    for roots in ([], [tmp_path / "other"], [tmp_path / "cod"]):
        with pytest.raises(EntrypointRefused, match="--root"):
            find(file, "e", "m:f", roots)
    link = tmp_path / "other" / "link"
    link.symlink_to(tmp_path / "code")
    with pytest.raises(EntrypointRefused):
        find(made(tmp_path, root=str(link)), "e", "m:f", [tmp_path / "other"])


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "environments = 3",
        '[environments.e]\npython = "relative"\nroot = "/"',
        '[environments.e]\nroot = "/"',
        '[environments.e]\npython = "/p"\nroot = "/"\nenv_file = 3',
        '[environments.e]\npython = "/p"\nroot = "/"\nproject = 3',
        '[environments.e]\npython = "/p"\nroot = "/"\nproject = "a b"',
        "[environments]\ne = 3",
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "environments.toml"
    file.write_text(text)
    with pytest.raises(EnvironmentRefused):
        find(file, "e", "m:f", [tmp_path])


def test_env_files(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# c\n\nA=1\nexport B = two words \nC='q'\nD=\"x=y\"\nE=\n")
    assert read_env_file(str(file)) == {"A": "1", "B": "two words", "C": "q", "D": "x=y", "E": ""}
    assert read_env_file("") == {}
    file.write_text("nonsense\n")
    with pytest.raises(EnvironmentRefused, match="Line 1"):
        read_env_file(str(file))
    with pytest.raises(EnvironmentRefused, match="Can't read"):
        read_env_file(str(tmp_path / "missing"))


def test_what_is_the_agents_own_goes_to_no_child() -> None:
    assert child_env({"PATH": "/", "HEADWAY_TOKEN": "x", "headway_key": "y"}) == {"PATH": "/"}


def test_an_assignment_comes_back_from_agent_db() -> None:
    one = assignment("x", a=1)
    assert start_file.from_json(start_file.to_json(one)) == one


# Retention.


def test_old_runs_go_and_the_oldest_until_the_rest_fits() -> None:
    kept = [KeptRun("old", 0, 1), KeptRun("b", 90, 10), KeptRun("c", 95, 10), KeptRun("d", 99, 10)]
    assert set(choose(kept, 100, keep_us=50, keep_bytes=1000)) == {"old"}
    assert set(choose(kept, 100, keep_us=50, keep_bytes=25)) == {"old", "b"}
    assert set(choose(kept, 100, keep_us=50, keep_bytes=0)) == {"old", "b", "c", "d"}
    later = LEAST_US + 100
    assert len(choose(kept, later, keep_us=2 * later, keep_runs=3)) == len(kept) - 3
    assert choose(kept, 100, keep_us=1000, keep_runs=3) == []
    assert choose([], 100) == []


def test_a_run_is_deleted_whole(tmp_path: Path) -> None:
    (tmp_path / "r" / "1").mkdir(parents=True)
    (tmp_path / "r" / "1" / "frames.log").write_bytes(b"12345")
    assert size_of(tmp_path / "r") == 5
    delete_run(tmp_path / "r")
    delete_run(tmp_path / "r")
    (tmp_path / ".deleted-x").mkdir()
    delete_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Wake.


def test_the_path_depends_on_the_state_directory_and_is_short(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 150)
    assert wake.socket_path(deep) == wake.socket_path(deep)
    assert wake.socket_path(deep) != wake.socket_path(tmp_path)
    assert len(str(wake.socket_path(deep))) <= wake.MOST_PATH


def test_a_path_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake.tempfile, "gettempdir", lambda: "/" + "x" * 100)
    with pytest.raises(wake.UnsafeSocketDirectory, match="TMPDIR"):
        wake.socket_path(tmp_path)


async def test_hints_arrive_and_nonsense_does_not(tmp_path: Path) -> None:
    path = tmp_path / "w" / "wake"
    got: list[tuple[AttemptKey, int]] = []
    arrived = asyncio.Event()

    def on_wake(key: AttemptKey, durable: int) -> None:
        got.append((key, durable))
        if durable:
            arrived.set()

    for _ in range(2):
        one = wake.WakeSocket(path, on_wake)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for message in (b"nonsense", b"r/x", b"\xff", b"r/7", b"r/7/x", b"r/7/120"):
                sender.sendto(message, str(path))
        async with asyncio.timeout(DEADLINE):
            await arrived.wait()
        arrived.clear()
        one.close()
    assert got == [(AttemptKey("r", 7), durable) for durable in (0, 0, 120)] * 2
    assert not path.exists()


async def test_a_directory_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w").chmod(0o755)
    with pytest.raises(wake.UnsafeSocketDirectory, match="Remove it"):
        wake.WakeSocket(tmp_path / "w" / "wake", lambda _key: None)


def test_an_attempt_is_not_over_before_its_lines_were_counted(tmp_path: Path) -> None:
    """Whoever sends facts reads the last one before anybody has looked for lines; its acknowledgement may come first, too."""
    given = assignment()
    attempt = Attempt(given.key, tmp_path, given)
    create_with(tmp_path / "frames.log", {"type": "attempt.exited"})
    (tmp_path / "output.log").write_text("{}\n{}\n")
    attempt.acked_seq = attempt.facts.read(0, 10, 1_000)[-1].n
    assert not attempt.wholly_acked
    attempt.scan()
    assert not attempt.wholly_acked
    attempt.acked_line = 2
    assert attempt.wholly_acked
