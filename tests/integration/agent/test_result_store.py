"""The store of results: a folder, a real S3 endpoint, and one that is away."""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from headway_agent.commands import results as results_command
from headway_agent.loops.store_loop import StoreLoop, serve
from headway_agent.main import doctor
from headway_agent.settings import Options, load
from headway_agent.spool import kept_values, run_results, value_store
from headway_agent.spool.frames import encode_record
from headway_agent.spool.value_store import (
    FolderStore,
    StoreFault,
    ValueAbsent,
    fetch,
    open_store,
    reference,
)
from support import s3_server
from support.stack import free_ports

LARGE = os.urandom(300_000)
SMALL = b'{"rows":3}'


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_attempt(
    run: Path, fence: int = 1, *, ended: bool = True, large: bytes = LARGE, returned: bytes = SMALL
) -> Path:
    """As a supervisor and a flow process leave it."""
    run_dir = run / str(fence)
    (run_dir / "results").mkdir(parents=True)
    (run_dir / "results" / digest(large)).write_bytes(large)
    call = {
        "type": "call.ended",
        "call": "ab" * 16,
        "parent": "root",
        "kind": "task",
        "name": "load",
        "outcome": "completed",
        "result": {
            "codec": "bytes",
            "size": len(large),
            "digest": digest(large),
            "file": digest(large),
        },
    }
    small = {
        "codec": "json",
        "size": len(returned),
        "digest": digest(returned),
        "data": returned.decode(),
    }
    if returned is not SMALL:
        small["secrets"] = []
    frames: list[dict[str, object]] = [call]
    if ended:
        frames.append({"type": "attempt.ended", "outcome": "completed", "result": small})
        frames.append({"type": "attempt.exited", "outcome": "completed"})
    records = [encode_record(n, json.dumps(f).encode()) for n, f in enumerate(frames, 1)]
    (run_dir / "frames.log").write_bytes(b"".join(records))
    return run_dir


@pytest.fixture(scope="module")
def s3():
    s3_server.require_s3()
    [port] = free_ports(1)
    with s3_server.s3_server(port) as server:
        yield server


@pytest.fixture(params=["folder", "s3", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return (tmp_path / "store with space").as_uri()
    if request.param == "memory":
        pytest.importorskip("fsspec")
        return f"memory://{tmp_path.name}"
    server = request.getfixturevalue("s3")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return server.bucket("bucket-" + digest(str(tmp_path).encode())[:12])


@pytest.fixture
def value(tmp_path: Path) -> Path:
    file = tmp_path / "value"
    file.write_bytes(LARGE)
    return file


def test_a_store_gives_what_it_was_given(url: str, value: Path, tmp_path: Path):
    store = open_store(url)
    got = tmp_path / "got"
    with pytest.raises(ValueAbsent):
        fetch(store, digest(LARGE), got)
    store.put(digest(LARGE), value)
    store.put(digest(LARGE), value)
    fetch(store, digest(LARGE), got)
    assert got.read_bytes() == LARGE
    store.delete(digest(LARGE))
    store.delete(digest(LARGE))
    got.unlink()
    with pytest.raises(ValueAbsent):
        fetch(store, digest(LARGE), got)
    assert not got.exists()


def test_what_is_not_what_it_should_be_is_absent(url: str, value: Path, tmp_path: Path):
    store = open_store(url)
    other = digest(b"another value")
    store.put(other, value)
    with pytest.raises(ValueAbsent, match="not what was written"):
        fetch(store, other, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_an_attempts_values_and_what_its_run_gave_are_taken_there(url: str, tmp_path: Path):
    store = open_store(url)
    run_dir = make_attempt(tmp_path / "run")
    assert not kept_values.may_go(tmp_path / "run")
    assert serve(store, run_dir).is_over
    assert kept_values.may_go(tmp_path / "run")
    for data in (LARGE, SMALL):
        fetch(store, digest(data), tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == data
    assert kept_values.unstored(run_dir) == []
    assert serve(store, run_dir).is_over


def test_an_attempt_under_way_is_looked_at_again(tmp_path: Path):
    store = FolderStore("file:///x", tmp_path / "store")
    run_dir = make_attempt(tmp_path / "run", ended=False)
    assert not serve(store, run_dir).is_over
    assert not kept_values.may_go(tmp_path / "run")
    more = b"more" * 100_000
    (run_dir / "results" / digest(more)).write_bytes(more)
    (run_dir / "results" / f"{digest(more)}.123.part").write_bytes(b"half")
    assert not serve(store, run_dir).is_over
    assert sorted(p.name for p in (tmp_path / "store").glob("*/*")) == sorted(
        [digest(LARGE), digest(more)]
    )


RUN = "0199d6a0-0000-7000-8000-00000000000a"


def want(run_dir: Path, fence: int = 1, run: str = RUN) -> Path:
    """As a flow does; gives the file of the answer."""
    wish = run_dir / "wanted" / f"{run}.{fence}"
    wish.parent.mkdir(parents=True, exist_ok=True)
    wish.touch()
    return wish.with_name(f"{wish.name}.json")


def test_what_a_run_returned_is_got_by_a_flow_on_another_machine(url: str, tmp_path: Path):
    store = open_store(url)
    parent = make_attempt(tmp_path / "there" / "parent", ended=False)
    answer = want(parent)
    assert serve(store, parent) == (False, False), "it has not ended, and is looked for again"
    assert not answer.exists()
    serve(store, make_attempt(tmp_path / "here" / RUN))
    assert serve(store, parent) == (False, True)
    told = json.loads(answer.read_bytes())
    assert told == {
        "codec": "json",
        "size": len(SMALL),
        "digest": digest(SMALL),
        "file": digest(SMALL),
    }
    assert (parent / "results" / digest(SMALL)).read_bytes() == SMALL
    assert kept_values.unstored(parent) == [], "it came from the store"
    assert serve(store, parent) == (False, False)
    names = {path.name for path in (parent / "wanted").iterdir()}
    assert names == {f"{RUN}.1", f"{RUN}.1.json"}


def test_what_holds_a_secret_stays(url: str, tmp_path: Path):
    store = open_store(url)
    parent = make_attempt(tmp_path / "there" / "parent", ended=False)
    answer = want(parent)
    here = make_attempt(tmp_path / "here" / RUN, large=b"hunter2" * 50_000, returned=b'"hunter2"')
    large = digest(b"hunter2" * 50_000)
    (here / "results" / f"{large}.here").touch()
    assert serve(store, here).is_over
    assert kept_values.may_go(here.parent)
    for name in (large, digest(b'"hunter2"')):
        with pytest.raises(ValueAbsent):
            fetch(store, name, tmp_path / "got")
    serve(store, parent)
    assert "it holds a secret" in json.loads(answer.read_bytes())["absent"]


@pytest.mark.parametrize(
    ("described", "why"),
    [
        (b"no json", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"codec":"json","digest":"../../key"}', "cannot be read"),
        (b"x" * 5000, "cannot be read"),
        (b'{"codec":"json","size":1,"digest":"%s"}' % (b"0" * 64), "is not there"),
    ],
)
def test_what_cannot_be_had_any_more_is_told_so(described: bytes, why: str, tmp_path: Path):
    store = FolderStore("file:///x", tmp_path / "store")
    note = tmp_path / "note"
    note.write_bytes(described)
    store.put(run_results.place(RUN, 1), note)
    parent = make_attempt(tmp_path / "parent", ended=False)
    answer = want(parent)
    serve(store, parent)
    assert why in json.loads(answer.read_bytes())["absent"]
    assert not (parent / "results" / ("0" * 64)).exists()


def test_a_value_that_could_not_be_kept_is_told_so(tmp_path: Path):
    store = FolderStore("file:///x", tmp_path / "store")
    note = tmp_path / "note"
    note.write_text('{"codec": "none", "size": 3, "digest": ""}')
    store.put(run_results.place(RUN, 2), note)
    parent = make_attempt(tmp_path / "parent", ended=False)
    answer = want(parent, fence=2)
    serve(store, parent)
    assert json.loads(answer.read_bytes())["codec"] == "none"


@pytest.mark.parametrize(
    "name", ["..%2Fkey.1", f"{RUN}.0", f"{RUN}.1.json", "x", f"{RUN}.99999999999"]
)
def test_only_names_of_runs_are_wishes(name: str, tmp_path: Path):
    store = FolderStore("file:///x", tmp_path / "store")
    parent = make_attempt(tmp_path / "parent", ended=False)
    (parent / "wanted").mkdir()
    (parent / "wanted" / name).touch()
    assert serve(store, parent) == (False, False)
    assert [path.name for path in (parent / "wanted").iterdir()] == [name]


class Away(FolderStore):
    """A store that is away until it is told."""

    def __init__(self, folder: Path, *, only: Callable[[str], bool] = lambda _: True) -> None:
        super().__init__("file:///away", folder)
        self.away = True
        self.asked = 0
        self._only = only

    def put(self, digest: str, file: Path) -> None:
        self.asked += 1
        if self.away and self._only(digest):
            raise StoreFault("it is away")
        super().put(digest, file)


async def test_a_store_that_is_away_keeps_everything_here(tmp_path: Path, caplog):
    runs = [make_attempt(tmp_path / f"run{n}", large=bytes([n]) * 300_000) for n in range(5)]
    store = Away(tmp_path / "store")
    loop = StoreLoop(store, _once(runs), lambda: 0.5)
    assert not await loop.round()
    assert store.asked == 3, "an absent store is not asked for everything"
    assert not await loop.round()
    assert caplog.text.count("stay on this disk") == 1
    assert not any(kept_values.may_go(run.parent) for run in runs)
    store.away = False
    assert await loop.round()
    assert all(kept_values.may_go(run.parent) for run in runs)
    assert len(list((tmp_path / "store").glob("??/*"))) == 6, "five files, and one result of all"


async def test_one_refused_value_keeps_back_no_other(tmp_path: Path):
    runs = [make_attempt(tmp_path / f"run{n}", large=bytes([n]) * 300_000) for n in range(4)]
    refused = digest(bytes([0]) * 300_000)
    store = Away(tmp_path / "store", only=lambda name: name == refused)
    loop = StoreLoop(store, _once(runs), lambda: 0.5)
    for _ in range(3):
        assert not await loop.round()
    assert [kept_values.may_go(run.parent) for run in runs] == [False, True, True, True]


async def test_what_nobody_foresaw_stops_neither_the_others_nor_the_agent(tmp_path: Path, caplog):
    runs = [make_attempt(tmp_path / f"run{n}", large=bytes([n]) * 300_000) for n in range(3)]
    broken = digest(bytes([1]) * 300_000)

    class Odd(FolderStore):
        def put(self, digest: str, file: Path) -> None:
            if digest == broken:
                raise RuntimeError("a defect")
            super().put(digest, file)

    loop = StoreLoop(Odd("file:///odd", tmp_path / "store"), _once(runs), lambda: 0.5)
    for _ in range(3):
        assert not await loop.round()
    assert [kept_values.may_go(run.parent) for run in runs] == [True, False, True]
    assert "a defect" in caplog.text
    assert "Traceback" in caplog.text, "nobody foresaw it, so say where"


def test_two_agents_that_store_one_value_at_once_do_not_meet(tmp_path: Path, monkeypatch):
    """With a process id alone in the name, agents in containers of their own would write to one file."""
    seen: list[Path] = []
    replaced = Path.replace

    def noted(self: Path, target: Path) -> Path:
        seen.append(self)
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    file = tmp_path / "value"
    file.write_bytes(LARGE)
    folder = tmp_path / "store"
    for _ in range(2):
        store = FolderStore("file:///x", folder)
        store.put(digest(LARGE), file)
        store.delete(digest(LARGE))
    assert len(set(seen)) == 2
    assert not list(folder.glob("*/*"))


def test_a_stored_value_is_durable_with_its_name_and_nobody_elses(tmp_path: Path, monkeypatch):
    synced: list[Path] = []
    monkeypatch.setattr(value_store, "sync_directory", synced.append)
    file = tmp_path / "value"
    file.write_bytes(LARGE)
    folder = tmp_path / "store"
    FolderStore("file:///x", folder).put(digest(LARGE), file)
    [value] = folder.glob("*/*")
    assert value.stat().st_mode & 0o777 == 0o600
    assert set(synced) == {value.parent, folder}


async def test_a_new_agent_process_goes_on_from_the_files(tmp_path: Path):
    run_dir = make_attempt(tmp_path / "run")
    away = Away(tmp_path / "store")
    assert not await StoreLoop(away, _once([run_dir]), lambda: 0.5).round()
    again = StoreLoop(FolderStore("file:///x", tmp_path / "store"), _once([run_dir]), lambda: 0.5)
    task = asyncio.create_task(again.run())
    async with asyncio.timeout(30):
        while not kept_values.is_wholly_stored(run_dir):
            again.wake.set()
            await asyncio.sleep(0)
    task.cancel()


def _once(runs: list[Path]) -> Callable[[], set[Path]]:
    given = [set(runs)]
    return lambda: given.pop() if given else set()


# The operator's side


def settings_for(tmp_path: Path, url: str, **env: str):
    environ = {"HEADWAY_HOME": str(tmp_path), "HEADWAY_AGENT_RESULTS": url, **env}
    return load(Options(), environ)


def test_doctor_writes_reads_and_deletes(url: str, tmp_path: Path):
    [check] = doctor.results(settings_for(tmp_path, url))
    assert check.verdict == "ok", check.text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:///proc/nowhere", "can't be written"),
        ("results", "no URL of a store"),
        ("nosuch://bucket/x", "nosuch"),
    ],
)
def test_doctor_says_what_is_wrong(url: str, says: str, tmp_path: Path):
    [check] = doctor.results(settings_for(tmp_path, url))
    assert check.verdict == "fail"
    assert says in check.text
    assert check.next_step


@pytest.mark.timeout(120)
def test_a_missing_bucket_and_a_wrong_port(s3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    [check] = doctor.results(settings_for(tmp_path, "s3://no-such-bucket/x"))
    assert check.verdict == "fail"
    assert "s3://no-such-bucket/x can't be" in check.text
    assert "bucket" in check.text
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    [check] = doctor.results(settings_for(tmp_path, "s3://bucket/x"))
    assert check.verdict == "fail"
    assert "s3://bucket/x can't be" in check.text


def test_credentials_of_the_store_are_no_part_of_what_flows_inherit(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "before")
    file = tmp_path / "store.env"
    file.write_text("# for the bucket\nAWS_SECRET_ACCESS_KEY=of the store\n")
    url = (tmp_path / "store").as_uri()
    settings = settings_for(tmp_path, url, HEADWAY_AGENT_RESULTS_ENV=str(file))
    [check] = doctor.results(settings)
    assert check.verdict == "ok"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "of the store"
    assert "AWS_SECRET_ACCESS_KEY" not in settings.base_env
    bad = tmp_path / "bad.env"
    bad.write_text("no equals sign\n")
    [check] = doctor.results(settings_for(tmp_path, url, HEADWAY_AGENT_RESULTS_ENV=str(bad)))
    assert check.verdict == "fail"
    assert "line 1" in check.text


# headway results get


def get(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        results_command,
        ["get", *arguments, "-o", str(tmp_path / "out"), "--state-dir", str(tmp_path)],
    )
    return done.exit_code, done.output


def test_get_from_a_journal_and_from_the_store(url: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HEADWAY_AGENT_RESULTS", url)
    run_dir = make_attempt(tmp_path / "runs" / "run-1")
    out = tmp_path / "out"
    for what, data in ((["run-1"], SMALL), (["run-1", "load"], LARGE), (["run-1", "abab"], LARGE)):
        code, said = get(tmp_path, *what)
        assert code == 0, said
        assert out.read_bytes() == data
        assert digest(data) in said
    serve(open_store(url), run_dir)
    (run_dir / "results" / digest(LARGE)).write_bytes(b"damaged")
    out.unlink()
    assert get(tmp_path, "run-1", "load")[0] == 0
    assert out.read_bytes() == LARGE
    assert get(tmp_path, reference(url, digest(SMALL)))[0] == 0
    assert out.read_bytes() == SMALL


def test_get_takes_the_beginning_of_an_id_as_lists_show_it(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("HEADWAY_AGENT_RESULTS", raising=False)
    make_attempt(tmp_path / "runs" / "01a20669-16a4-72ae-8777-78fc2501c4d2")
    assert get(tmp_path, "01a20669-16a4")[0] == 0
    assert (tmp_path / "out").read_bytes() == SMALL
    (tmp_path / "runs" / "01a20669-16a4-7000-8000-000000000000").mkdir()
    assert "2 runs on this machine begin with 01a20669-16a4" in get(tmp_path, "01a20669-16a4")[1]
    assert get(tmp_path, "01a20669-16a4-72")[0] == 0
    assert "no journal of run 01b" in get(tmp_path, "01b")[1]


def test_what_get_writes_is_its_owners_alone(tmp_path: Path):
    make_attempt(tmp_path / "runs" / "run-1")
    assert get(tmp_path, "run-1")[0] == 0
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    (tmp_path / "out").chmod(0o644)  # who made the file has said who may read it
    assert get(tmp_path, "run-1", "load")[0] == 0
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o644


def test_get_says_what_is_wrong(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("HEADWAY_AGENT_RESULTS", raising=False)
    run_dir = make_attempt(tmp_path / "runs" / "run-1", ended=False)
    assert "no journal of run run-2" in get(tmp_path, "run-2")[1]
    assert "has not returned" in get(tmp_path, "run-1")[1]
    assert "its calls: load" in get(tmp_path, "run-1", "other")[1]
    assert "copy all of it" in get(tmp_path, "s3://bucket/ab/xyz")[1]
    (run_dir / "results" / digest(LARGE)).unlink()
    code, said = get(tmp_path, "run-1", "load")
    assert code == 1
    assert "gone or damaged" in said
    assert not (tmp_path / "out").exists()
