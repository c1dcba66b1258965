"""The cache that agents share: flow processes on two machines, the agents' part in it, and stores that are real, damaged or away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from headway.cli.verbs.cache import cache
from headway.runtime.cache_store import parsed
from headway_agent.loops import cache_loop
from headway_agent.spool.value_store import FolderStore, StoreFault
from support import s3_server
from support.eventually import eventually
from support.shared_cache import Machine, listening, reason, sockets
from support.stack import free_ports

FLOW = """
made = Path(__file__).parent / "made"

@task({options})
def load(day):
    with made.open("a") as file:
        file.write(f"{{day}} ")
    return {value}

@flow
def main(day="monday", more=0):
    return str(load(day))[:20]
"""
LARGE = "day.encode() * 100_000"


@pytest.fixture(scope="module")
def s3() -> Iterator[s3_server.S3Server]:
    s3_server.require_s3()
    [port] = free_ports(1)
    with s3_server.s3_server(port) as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return (tmp_path / "store").as_uri()
    server = request.getfixturevalue("s3")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return str(server.bucket("cache-" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]))


Make = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Machines with one store, a folder if none is named; each has the flow."""
    with sockets() as folder:

        def one(
            name: str,
            store: str | FolderStore = "",
            *,
            options: str = "cache=INPUTS",
            value: str = "day",
            **more: object,
        ) -> Machine:
            url = store or (tmp_path / "store").as_uri()
            machine = Machine(tmp_path / name, url, folder / name, **more)
            machine.project.write(FLOW.format(options=options, value=value))
            return machine

        yield one


@pytest.mark.parametrize("value", ["day", LARGE, "{'rows': [1, 2.5, None]}"])
def test_what_one_agent_made_the_other_finds(make: Make, url: str, value: str):
    a, b = make("a", url, value=value), make("b", url, value=value)
    with listening(a, b):
        first = a.run()
        assert reason(first) == (
            f"nothing is kept under this key; shared by other agents: {a.store.url} has no"
            f" cache/w/{_only(a)[:2]}/{_only(a)}"
        )
        second = b.run()
    (end,) = second.of("call.ended", "load")
    assert (end["outcome"], end["cause"], end["tries"]) == ("skipped", "cached", 0)
    assert end["result"] == first.of("call.ended", "load")[0]["result"]
    assert reason(second).endswith("at another agent")
    assert second.ended["result"] == first.ended["result"]
    assert b.executed() == []
    # From now on it is its own, with nobody there to ask.
    assert b.run().of("call.ended", "load")[0]["cause"] == "cached"


def _only(machine: Machine) -> str:
    (entry,) = machine.shared.entries()
    return str(entry["key"])


def test_async_calls_and_those_of_a_map_ask_too(make: Make):
    flow = """
    @task(cache=INPUTS)
    async def load(n):
        return n

    @task(cache=INPUTS)
    def plain(n):
        return -n

    @flow
    async def main():
        import asyncio
        found = await asyncio.gather(*(load(n) for n in range(40)))
        return sum(found) + sum(plain.map(range(40)).result())
    """
    a, b = make("a"), make("b")
    for machine in (a, b):
        machine.project.write(flow)
    with listening(a, b):
        first = a.run()
        assert set(first.outcomes()) == {"completed"}
        second = b.run()
    assert set(second.outcomes()) == {"skipped"}
    assert len(second.outcomes()) == 80
    assert second.ended["result"]["data"] == "0"


@pytest.mark.parametrize(
    ("theirs", "run", "why"),
    [
        ({"value": "day + day[:0]"}, {}, "has no cache/"),
        ({"workspace": "another"}, {}, "has no cache/"),
        ({"pool": "another"}, {}, "has no cache/"),
        ({"pool": ""}, {}, "does not say of which pool it is: upgrade headway-agent"),
        ({"project": "billing"}, {}, "has no cache/"),
        ({}, {"environment": "another"}, "has no cache/"),
        ({}, {"day": "tuesday"}, "has no cache/"),
        (
            {"options": "cache=INPUTS, cache_expires=0.000001", "project": "one"},
            {},
            "s old, and expired",
        ),
        ({"options": "cache=INPUTS, refresh_cache=True"}, {}, "refresh_cache is set"),
    ],
)
def test_what_may_differ_is_a_miss(
    make: Make, theirs: dict[str, str], run: dict[str, str], why: str
):
    a, b = make("a", project="one" if "options" in theirs else ""), make("b", **theirs)
    with listening(a, b):
        a.run()
        second = b.run(**run)
    assert why in reason(second)
    assert b.executed() == [run.get("day", "monday")]


HELPERS = """
def scale(n):
    return n * {factor}
"""
WITH_HELPERS = """
import lib.numbers

@task(cache=INPUTS)
def load(day):
    from lib.{module} import scale
    return scale(len(day))

@flow
def main(day="monday"):
    return load(day)
"""


def _with_helpers(machine: Machine, factor: int, module: str = "numbers") -> Machine:
    machine.project.write(WITH_HELPERS.format(module=module))
    (machine.project.root / "lib").mkdir(exist_ok=True)
    for name in ("numbers", "late"):
        text = HELPERS.format(factor=factor)
        (machine.project.root / "lib" / f"{name}.py").write_text(text)
    (machine.project.root / "lib" / "unused.py").write_text(f"NAME = {machine.socket.name!r}")
    return machine


@pytest.mark.parametrize("module", ["numbers", "late"])
def test_two_projects_of_one_name_and_one_task_never_share(make: Make, module: str):
    a = _with_helpers(make("a"), 2, module)
    b = _with_helpers(make("b"), 3, module)
    with listening(a, b):
        assert a.run().ended["result"]["data"] == "12"
        assert b.run().ended["result"]["data"] == "18"
        twin = _with_helpers(make("c"), 2, module).run()
    assert twin.ended["result"]["data"] == "12"


def test_other_files_than_those_that_the_task_comes_to_may_differ(make: Make):
    a, b = _with_helpers(make("a"), 2), _with_helpers(make("b"), 2)
    with listening(a, b):
        a.run()
        assert reason(b.run()).endswith("at another agent")


def test_a_project_with_a_name_is_one_in_all_pools_and_versions(make: Make):
    a = _with_helpers(make("a", project="billing", pool="one"), 2)
    b = _with_helpers(make("b", project="billing", pool="two"), 3)
    c = _with_helpers(make("c", project="shop", pool="one"), 2)
    with listening(a, b, c):
        a.run()
        assert reason(b.run(environment="other")).endswith("at another agent")
        assert "has no cache/" in reason(c.run())


def test_code_that_changed_under_the_run_is_in_doubt(make: Make):
    a, b = make("a"), make("b")
    for machine in (a, b):
        machine.project.write(
            """
            @task(cache=INPUTS)
            def load(day):
                return day

            @flow
            def main(day="monday"):
                Path(__file__).touch()
                return load(day)
            """
        )
    with listening(a, b):
        first = a.run()
        assert "was changed since this attempt began" in reason(first)
        assert list(a.shared.entries()) == []
        assert b.run().outcomes("load") == ["completed"]


def test_what_is_made_anew_takes_the_place_of_the_other(make: Make):
    a = make("a", value='"first"', project="one")
    b = make("b", value='"first"', options="cache=INPUTS, refresh_cache=True", project="one")
    c = make("c", value='"first"', project="one")
    with listening(a, b, c):
        a.run()
        made = b.run().of("attempt.ended")
        assert b.executed() == ["monday"]
        (entry,) = c.shared.entries()
        third = c.run()
    assert made
    assert f"made by run {entry['run']} at another agent" == reason(third)
    assert str(entry["run"]) in {path.name for path in b.runs.iterdir()}


def test_pickled_results_and_failures_are_not_shared(make: Make):
    pickled = make("a", value="{1: object}", options='cache=INPUTS, result="pickle"')
    failing = make("b", value="1 // 0")
    with listening(pickled, failing):
        assert pickled.run().outcomes("load") == ["completed"]
        failing.run()
    assert list(pickled.shared.entries()) == []


def _damage_entry(store: Path) -> None:
    for path in (store / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-3])


def _empty_entry(store: Path) -> None:
    for path in (store / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def _foreign_entry(store: Path) -> None:
    for path in (store / "cache").rglob("*"):
        if path.is_file():
            body = json.dumps({"format": 1, "key": path.name, "result": {"codec": 1}}).encode()
            path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _huge_entry(store: Path) -> None:
    for path in (store / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"x" * (2 << 20))


def _unknown_codec(store: Path) -> None:
    for path in (store / "cache").rglob("*"):
        if path.is_file():
            body = json.loads(path.read_bytes().partition(b"\n")[2])
            body["result"]["codec"] = "no.such"
            text = json.dumps(body).encode()
            path.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def _damage_value(store: Path) -> None:
    for path in store.glob("??/*"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")


def _delete_value(store: Path) -> None:
    for path in store.glob("??/*"):
        path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _damage_entry,
        _empty_entry,
        _foreign_entry,
        _huge_entry,
        _unknown_codec,
        _damage_value,
        _delete_value,
    ],
)
def test_whatever_is_damaged_is_a_miss_and_made_anew(
    make: Make, tmp_path: Path, damage: Callable[[Path], None]
):
    a, b, c = make("a", value=LARGE), make("b", value=LARGE), make("c", value=LARGE)
    with listening(a, b, c):
        a.run()
        damage(tmp_path / "store")
        second = b.run()
        assert second.outcomes("load") == ["completed"], reason(second)
        assert b.executed() == ["monday"]
        if (
            damage is not _damage_value
        ):  # of the same size, it stays: nobody reads a value before it is asked for
            assert c.run().outcomes("load") == ["skipped"]


def test_without_an_agent_to_ask_calls_execute(make: Make):
    a = make("a")
    outcome = a.run()
    assert "the agent cannot be asked" in reason(outcome)
    assert outcome.outcomes("load") == ["completed"]
    with listening(a):
        assert a.run().of("call.ended", "load")[0]["cause"] == "cached"


class Troubled(FolderStore):
    """Raises, or hangs, when it is read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.as_uri(), folder)
        self.asked = 0
        self.trouble: Callable[[], None] | None = None

    def read_note(self, name: str) -> bytes:
        self.asked += 1
        if self.trouble is not None:
            self.trouble()
        return super().read_note(name)


def _refuse() -> None:
    raise StoreFault("it is away")


def _wait(released: threading.Event) -> None:
    released.wait(60)


def test_a_store_that_is_away_is_not_waited_for_by_each_call(make: Make, tmp_path: Path):
    store = Troubled(tmp_path / "store")
    store.trouble = _refuse
    a = make("a", store)
    with listening(a):
        assert "the store cannot be asked: it is away" in reason(a.run())
        again = a.run(day="tuesday")
    assert "the store cannot be asked: it is away" in reason(again)
    assert store.asked <= 2
    store.trouble = None
    assert len(list(a.shared.entries())) == 2, "what was made meanwhile goes there"


def test_a_store_that_hangs_holds_up_nobody(make: Make, tmp_path: Path):
    store = Troubled(tmp_path / "store")
    released = threading.Event()
    store.trouble = lambda: _wait(released)
    a = make("a", store, look_s=0.2)
    try:
        with listening(a):
            outcome = a.run()
    finally:
        released.set()
    assert "took too long" in reason(outcome)
    assert outcome.outcomes("load") == ["completed"]


def test_commands_see_what_agents_share(make: Make, tmp_path: Path):
    a, b = make("a"), make("b")

    def headway(machine: Machine, *words: str) -> str:
        state = ["--state-dir", str(machine.project.store.parent)]
        done = CliRunner().invoke(cache, [*words, *state])
        assert done.exit_code == 0, done.output
        return done.output

    def explain(machine: Machine, day: str) -> str:
        root = ["--root", str(machine.project.root), "--environment", "etl"]
        return headway(machine, "explain", "flows:load", *root, "-a", f"day={day}")

    with listening(a, b):
        a.run()
        assert headway(b, "ls", "--shared").count("load") == 1
        assert "Nothing is cached" in headway(b, "ls")
        assert "shared by agents: hit: made by run" in explain(b, "monday")
        assert "; others differ in what it was called with" in explain(b, "tuesday")
        b.project.write("SIZE = 2\n" + FLOW.format(options="cache=INPUTS", value="day"))
        assert "; others differ in imports" in explain(b, "monday")
        assert "still there" in headway(a, "clear", "--all")
        assert "Deleted 0" in headway(b, "clear", "--shared", "--task", "other")
        assert "Deleted 1 cached result" in headway(b, "clear", "--shared", "--task", "load")
        assert a.run().outcomes("load") == ["completed"]
        assert "Deleted 1 cached result" in headway(b, "clear", "--shared", "--all")
    # As an agent leaves it that was killed.
    (a.project.store.parent / "cache.socket").write_text("/nowhere/at/all")
    said = explain(a, "monday")
    assert said.startswith(("hit: made by run", "miss: "))
    assert "shared by agents: not known: No agent that shares its cache" in said
    (a.project.store.parent / "cache.socket").unlink()
    refused = CliRunner().invoke(
        cache, ["ls", "--shared", "--state-dir", str(a.project.store.parent)]
    )
    assert refused.exit_code
    assert "No agent that shares its cache" in refused.output


def test_agents_and_flows_agree_on_what_an_entry_is(make: Make, tmp_path: Path):
    a = make("a")
    with listening(a):
        a.run()
    (file,) = [path for path in (tmp_path / "store" / "cache").rglob("*") if path.is_file()]
    entry = parsed(file.read_bytes())
    assert entry is not None
    (other,) = a.shared.entries()
    assert {"format": 1, **entry._asdict()} == other


def _asked(machine: Machine, question: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(60)
        asking.connect(str(machine.socket))
        with contextlib.suppress(OSError):  # who says too much is not listened to
            asking.sendall(question + b"\n")
            return asking.makefile("rb").read()
    return b""


_FIND = b'{"type":"cache.find","key":"%s",' % (b"ab" * 32)


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"null",
        b"[" * 60_000,
        b"x" * 200_000,
        b'{"type":["a"],"key":{}}',
        b'{"type":"cache.find","key":"../../%s"}' % (b"ab" * 29),
        _FIND + b'"run":"../../x","fence":1}',
        _FIND + b'"run":"01a20714-47d6-72d2-a7ff-0dd68e70058f"}',
        _FIND + b'"run":"01a20714-47d6-72d2-a7ff-0dd68e70058f","fence":[]}',
        _FIND + b'"run":"01a20714-47d6-72d2-a7ff-0dd68e70058f","fence":7}',
        b'{"type":"cache.clear"}',
        b'{"type":"cache.clear","all":1,"task":null,"key":7}',
    ],
)
def test_nonsense_is_nobodys_trouble_and_clears_nothing(
    make: Make, question: bytes, caplog: pytest.LogCaptureFixture
):
    a = make("a")
    with listening(a):
        a.run()
        before = _only(a)
        answer = _asked(a, question)
        assert b'"deleted"' not in answer
        assert _only(a) == before
        assert b"has no" in _asked(a, _FIND[:-1] + b"}")
    assert caplog.records == []


def test_who_opens_thousands_of_connections_takes_no_file_of_the_agents(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_loop, "MOST_OPEN", 20)
    a = make("a")
    with listening(a), contextlib.ExitStack() as stack:
        held = []
        for _ in range(40):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(a.socket))
            held.append(connection)
        held[-1].settimeout(60)
        assert b"asked too much at once" in held[-1].recv(1000)
        for connection in held:
            connection.close()
        assert b"has no" in eventually(
            lambda: (said := _asked(a, _FIND[:-1] + b"}")) and b"has no" in said and said
        )
