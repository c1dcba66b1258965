"""Results across runs: what is a hit, what is a miss, and that of several calls at a time one executes."""

import fcntl
import hashlib
import json
import os
from pathlib import Path

import pytest

from headway.runtime.cache_store import CacheStore, Entry
from support.flow_process import Outcome, Project

ONE = """
made = Path(__file__).parent / "made"

@task({options})
def load(day, debug=False):
    with made.open("a") as file:
        file.write(f"{{day}} ")
    return {value}

@flow
def main(day="monday", debug=False, other=0):
    return str(load(day, debug))[:20]
"""


def write(project: Project, options: str = "cache=INPUTS", value: str = "day") -> None:
    project.write(ONE.format(options=options, value=value))


def anew(project: Project, run: str = "run-2", **parameters: object) -> Outcome:
    """A run of its own: no journal, the same agent."""
    return project.start(parameters, journal=[], run=run, salt=run).finish_and_keep(project)


def made(project: Project) -> list[str]:
    path = project.root / "made"
    return path.read_text().split() if path.exists() else []


def reason(outcome: Outcome) -> str:
    (end,) = outcome.of("call.ended", "load")
    return str(end["cache"]["reason"])


def store(project: Project) -> CacheStore:
    return CacheStore(project.store / "cache")


def only(project: Project) -> Entry:
    (entry,) = store(project).entries()
    return entry


def test_an_equal_call_of_another_run_is_skipped_and_says_why(project: Project):
    write(project)
    first, second = anew(project, "run-1"), anew(project, "run-2")
    (end,) = second.of("call.ended", "load")
    assert (end["outcome"], end["cause"], end["tries"]) == ("skipped", "cached", 0)
    assert end["result"] == first.of("call.ended", "load")[0]["result"]
    assert end["cache"]["reason"] == "made by run run-1"
    assert "cause" not in first.of("call.ended", "load")[0]
    assert reason(first) == "nothing is kept under this key"
    assert second.ended["result"]["data"] == '"monday"'
    assert made(project) == ["monday"]


def test_the_journal_comes_first_and_is_told_apart(project: Project):
    write(project)
    project.run()
    again = project.run()
    (end,) = again.of("call.ended", "load")
    assert (end["outcome"], "cause" in end, "cache" in end) == ("skipped", False, False)


def test_a_hit_is_in_the_journal_and_needs_the_cache_no_more(project: Project):
    write(project)
    anew(project, "run-1")
    assert anew(project, "run-2").of("call.ended", "load")[0]["cause"] == "cached"
    store(project).clear()
    again = project.start(run="run-2", salt="run-2", journal=project.logs[1:]).finish()
    assert again.outcomes("load") == ["skipped"]
    assert "cause" not in again.of("call.ended", "load")[0]
    assert made(project) == ["monday"]


@pytest.mark.parametrize(
    ("options", "first", "second", "times"),
    [
        ("cache=INPUTS", {"day": "monday"}, {"day": "tuesday"}, 2),
        ("cache=INPUTS", {"debug": True}, {"debug": False}, 2),
        ('cache=INPUTS - "debug"', {"debug": True}, {"debug": False}, 1),
        ("cache=INPUTS", {"other": 1}, {"other": 2}, 1),
        ("cache=FLOW_PARAMETERS", {"other": 1}, {"other": 2}, 2),
        ("cache=FLOW_PARAMETERS", {"other": 1}, {"other": 1}, 1),
        ("cache=SOURCE", {"day": "monday"}, {"day": "tuesday"}, 1),
        ("cache=lambda a: a['day'][0]", {"day": "tuesday"}, {"day": "thursday"}, 1),
        ("cache=lambda a: a['day'][:2]", {"day": "tuesday"}, {"day": "thursday"}, 2),
        ("cache=SOURCE + (lambda a: a['day'])", {"day": "a"}, {"day": "b"}, 2),
        ("cache=(lambda a: 'x') + FLOW_PARAMETERS", {"other": 1}, {"other": 2}, 2),
        ("cache=lambda a: None", {}, {}, 2),
        ("cache=lambda a: 1", {}, {}, 2),
        ("cache=lambda a: a['no']", {}, {}, 2),
        ('cache=INPUTS - "dbg"', {}, {}, 2),
        ("cache=INPUTS, refresh_cache=True", {}, {}, 2),
    ],
)
def test_policies(
    project: Project,
    options: str,
    first: dict[str, object],
    second: dict[str, object],
    times: int,
):
    write(project, options)
    assert anew(project, "run-1", **first).outcome == "completed"
    assert anew(project, "run-2", **second).outcome == "completed"
    assert len(made(project)) == times


def test_changed_code_counts_where_source_is_part(project: Project):
    write(project, "cache=INPUTS + SOURCE")
    anew(project)
    write(project, "cache=INPUTS + SOURCE", value="day + '!'")
    assert anew(project).ended["result"]["data"] == '"monday!"'


def test_refreshing_puts_the_new_result_in_the_place_of_the_old(project: Project):
    write(project)
    anew(project)
    write(project, "cache=INPUTS, refresh_cache=True", value="day + '!'")
    assert reason(anew(project)) == "refresh_cache is set"
    write(project)
    assert anew(project).ended["result"]["data"] == '"monday!"'


def test_age_by_the_readers_option_and_a_clock_that_cannot_tell_it(project: Project):
    write(project)
    anew(project)
    entry = only(project)
    write(project, "cache=INPUTS, cache_expires=3600")
    assert anew(project).outcomes("load") == ["skipped"]
    store(project).write(entry._replace(made_at_us=entry.made_at_us - 3_601 * 10**6), None)
    assert "old, and expired" in reason(anew(project))
    assert anew(project).outcomes("load") == ["skipped"]  # what was made then is new
    store(project).write(entry._replace(made_at_us=entry.made_at_us + 10**12), None)
    assert "nobody knows its age" in reason(anew(project))


@pytest.mark.parametrize(
    ("damage", "size"),
    [(damage, size) for damage in ("entry", "torn", "empty", "format") for size in (10, 400_000)]
    + [("payload", 400_000)],
)
def test_whatever_is_damaged_is_a_miss(project: Project, damage: str, size: int):
    write(project, value=f"'x' * {size}")
    anew(project)
    entry = only(project)
    path = store(project).entry_path(entry.key)
    if damage == "payload":
        path = store(project).payload_path(entry)
    raw = path.read_bytes()
    path.unlink()  # it may be one file with the run's own
    if damage == "torn":
        path.write_bytes(raw[:-5])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "format":
        body = json.dumps({**json.loads(raw.partition(b"\n")[2]), "format": 2}, sort_keys=True)
        path.write_bytes(hashlib.sha256(body.encode()).hexdigest().encode() + b"\n" + body.encode())
    else:
        middle = len(raw) // 2
        path.write_bytes(raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :])
    assert anew(project).outcomes("load") == ["completed"]
    assert anew(project).outcomes("load") == ["skipped"]  # and it is whole again


def test_large_results_come_back_from_their_file(project: Project):
    write(project, value="'x' * 400_000")
    first, second = anew(project, "run-1"), anew(project, "run-2")
    (end,) = second.of("call.ended", "load")
    assert end["cause"] == "cached"
    assert end["result"] == first.of("call.ended", "load")[0]["result"]
    file = end["result"]["file"]
    assert (project.runs / "2" / "results" / file).stat().st_size == 400_002


def test_pickled_values_only_for_tasks_that_say_so(project: Project):
    write(project, 'cache=lambda a: "x", result="pickle"', value="{1: object}")
    anew(project)
    assert anew(project).outcomes("load") == ["skipped"]
    write(project, 'cache=lambda a: "x"', value="1")
    assert "pickled" in reason(anew(project))


def test_an_argument_without_digest_is_a_miss_that_says_what_to_do(project: Project):
    project.write(
        """
        class Session: ...

        @task(cache=INPUTS)
        def load(session):
            return 1

        @flow
        def main():
            return load(Session())
        """
    )
    outcome = anew(project)
    assert "'session' has no stable digest" in reason(outcome)
    assert any("use a function as the policy" in line for line in outcome.logs())
    assert list(store(project).entries()) == []


def test_results_that_cannot_be_kept_and_failures_are_not_cached(project: Project):
    write(project, value="object()")
    anew(project)
    write(project, value="1 / 0")
    assert anew(project).outcome == "failed"
    assert list(store(project).entries()) == []


def test_without_a_store_it_executes(project: Project):
    write(project)
    for _ in range(2):
        outcome = project.start(journal=[], store="").finish_and_keep(project)
        assert reason(outcome) == "this agent keeps no cache"


MAPPED = """
made = Path(__file__).parent / "made"

@task(cache=lambda a: "one")
{kind} load(n):
    with made.open("a") as file:
        file.write(f"{{n}} ")
    {sleep}
    return n

@flow(task_runner={runner})
{kind} main():
    futures = load.map(list(range(8)))
    return len({{{wait} for f in futures}})
"""
SYNC = {"kind": "def", "wait": "f.result()", "sleep": "__import__('time').sleep(0.2)"}
ASYNC = {
    "kind": "async def",
    "wait": "await f",
    "sleep": "await __import__('asyncio').sleep(0.2)",
}


@pytest.mark.parametrize(
    ("runner", "words"),
    [("ThreadRunner(8)", SYNC), ("ThreadRunner(8)", ASYNC), ("ProcessRunner(2)", SYNC)],
    ids=["threads", "async", "processes"],
)
def test_of_equal_calls_at_a_time_one_executes(
    project: Project, runner: str, words: dict[str, str]
):
    project.write(MAPPED.format(runner=runner, **words))
    outcome = anew(project)
    assert outcome.ended["result"]["data"] == "1"
    assert sorted(outcome.outcomes("load")) == ["completed"] + ["skipped"] * 7
    assert len(made(project)) == 1


def test_of_two_runs_the_second_waits_and_takes_what_the_first_makes(project: Project):
    project.write(
        """
        import os, time
        here = Path(__file__).parent

        @task(cache=lambda a: "one")
        def load(run):
            (here / f"began-{run}").touch()
            while not (here / "go").exists():
                time.sleep(0.01)
            return run

        @flow
        def main(run):
            return load(run)
        """
    )
    one = project.start({"run": "a"}, journal=[], run="run-a")
    one.seen(lambda f: f["type"] == "call.started")
    project.keep([])
    two = project.start({"run": "b"}, journal=[], run="run-b")
    told = two.seen(lambda f: f["type"] == "log" and "waits for its result" in f["text"])
    assert "run-a" in told["text"]
    (project.root / "go").touch()
    assert one.finish().ended["result"]["data"] == '"a"'
    assert two.finish().ended["result"]["data"] == '"a"'
    assert not (project.root / "began-b").exists()
    assert list((project.store / "cache/locks").iterdir()) == []


def test_who_waits_goes_on_when_the_holder_dies(project: Project):
    project.write(
        """
        import os, time
        @task(cache=lambda a: "one")
        def load(wait):
            while wait:
                time.sleep(0.01)
            return 7

        @flow
        def main(wait):
            return load(wait)
        """
    )
    one = project.start({"wait": True}, journal=[])
    one.seen(lambda f: f["type"] == "call.started")
    project.keep([])
    two = project.start({"wait": False}, journal=[])
    two.seen(lambda f: f["type"] == "log" and "waits for its result" in f["text"])
    one.process.kill()
    assert two.finish().outcomes("load") == ["completed"]
    one.finish()


def test_who_waits_can_be_cancelled(project: Project):
    write(project)
    anew(project)
    entry = only(project)
    store(project).delete(entry.key)
    lock = store(project).try_lock(entry.key, "somebody")
    assert lock is not None
    process = project.start(journal=[])
    process.seen(lambda f: f["type"] == "log" and "waits for its result" in f["text"])
    process.cancel()
    assert process.finish().outcome == "cancelled"
    lock.release()


def test_a_call_inside_one_of_its_own_key_does_not_wait_for_ever(project: Project):
    project.write(
        """
        import headway.runtime.cache as c
        c.PATIENCE_S = 0.05

        @task(cache=lambda a: "one")
        def down(n):
            return n and down(n - 1) + 1

        @flow
        def main():
            return down(3)
        """
    )
    assert anew(project).ended["result"]["data"] == "3"


def test_a_call_that_is_to_be_made_again_is_not_taken_from_the_cache(project: Project):
    write(project)
    first = project.run()
    call = first.of("call.ended", "load")[0]["call"]
    cut = {"logs": 1, "call": call, "around": [], "at_us": 0}
    again = project.run(cuts=[cut])
    assert again.outcomes("load") == ["completed"]
    assert reason(again) == "it is to be executed again in this run"


def test_locks_are_given_back_though_a_child_has_the_descriptor(tmp_path: Path):
    cache = CacheStore(tmp_path)
    lock = cache.try_lock("k" * 64, "me")
    assert lock is not None
    copy = os.dup(lock._fd)
    assert cache.try_lock("k" * 64, "you") is None
    assert cache.holder("k" * 64) == "me"
    lock.release()
    again = cache.try_lock("k" * 64, "you")
    assert again is not None
    again.release()
    fcntl.flock(copy, fcntl.LOCK_UN)
    os.close(copy)


TWO_OF_ONE = """
import functools

def timed(fn):
    @functools.wraps(fn)
    def around(*args):
        return fn(*args)
    return around

def make(table):
    @task(cache={policy})
    def load(day):
        return table + day
    return load

users, orders = make("users"), make("orders")

class Table:
    def __init__(self, name):
        self.name = name

    def load(self, day):
        return self.name + day

@task(cache=INPUTS + SOURCE)
@timed
def wrapped(day):
    return {wrapped}

@flow
def main(day="monday"):
    return [users(day), orders(day), wrapped(day)]
"""


def again(project: Project, /, **start: object) -> Outcome:
    """Another run, started so."""
    process = project.start(None, journal=[], run="run-2", salt="run-2", **start)
    return process.finish_and_keep(project)


def two_of_one(policy: str = "INPUTS", wrapped: str = "day") -> str:
    return TWO_OF_ONE.format(policy=policy, wrapped=wrapped)


@pytest.mark.parametrize("policy", ["INPUTS", "SOURCE", "FLOW_PARAMETERS", "INPUTS + SOURCE"])
def test_two_tasks_that_one_function_made_are_two(project: Project, policy: str):
    project.write(two_of_one(policy))
    first = again(project)
    assert first.outcomes("load") == ["completed", "completed"]
    second = again(project)
    assert second.outcomes("load") == ["skipped", "skipped"]
    wanted = '["usersmonday","ordersmonday","monday"]'
    assert [each.ended["result"]["data"] for each in (first, second)] == [wanted, wanted]


def test_changes_below_a_decorator_are_changes_of_the_source(project: Project):
    project.write(two_of_one())
    again(project)
    project.write(two_of_one(wrapped="day.upper()"))
    assert again(project).outcomes("wrapped") == ["completed"]


def test_what_moves_out_of_a_try_is_a_change_of_the_source(project: Project):
    source = """
    def risky(day):
        raise ValueError

    @task(cache=SOURCE)
    def load(day):
        try:
            len(day)
            {inside}
        except ValueError:
            return "caught"
        {outside}
        return day

    @flow
    def main(day="monday"):
        try:
            return load(day)
        except ValueError:
            return "raised"
    """
    project.write(source.format(inside="risky(day)", outside=""))
    assert again(project).ended["result"]["data"] == '"caught"'
    project.write(source.format(inside="", outside="else:\n            risky(day)"))
    assert again(project).ended["result"]["data"] == '"raised"'


def test_what_has_no_digest_around_a_task_is_a_miss_that_says_what_to_do(project: Project):
    project.write(
        """
        class Connection:
            def load(self, day):
                return day

        def make(connection):
            @task(cache=INPUTS)
            def load(day):
                return connection.load(day)
            return load

        load = make(Connection())
        bound = task(Connection().load, cache=INPUTS, name="bound")

        @flow
        def main(day="monday"):
            return load(day) + bound(day)
        """
    )
    for _ in range(2):
        outcome = again(project)
        assert set(outcome.outcomes()) == {"completed"}
        ends = outcome.of("call.ended")
        assert "'connection' from the function around it" in ends[0]["cache"]["reason"]
        assert "'self' from the function around it" in ends[1]["cache"]["reason"]


def test_environments_of_one_root_are_two_unless_their_project_has_a_name(project: Project):
    project.write(two_of_one())
    again(project, environment="staging")
    assert again(project, environment="prod").outcomes("load") == ["completed"] * 2
    again(project, environment="staging", project="billing")
    named = again(project, environment="prod", project="billing")
    assert named.outcomes("load") == ["skipped"] * 2
