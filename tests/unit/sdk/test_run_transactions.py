"""Transactions: what is committed or undone, in which order, and what later attempts find of it."""

import pytest

from headway import InvalidOption, task, transaction
from support.flow_process import Outcome, Project

HEADER = """
import asyncio, os
here = Path(__file__).parent

def say(word):
    with (here / "said").open("a") as file:
        file.write(word + " ")

def commit(step):
    say(f"commit:{step.value}")
    if os.environ.get("FAIL") == f"commit:{step.value}":
        raise OSError("the disk is gone")
    if os.environ.get("DIE") == f"commit:{step.value}":
        os._exit(9)

def undo(step):
    say(f"undo:{step.value}")
    if os.environ.get("FAIL") == f"undo:{step.value}":
        raise OSError("the disk is gone")
    if os.environ.get("DIE") == f"undo:{step.value}":
        os._exit(9)

@task(on_commit=commit, on_rollback=undo)
def write(name):
    say(name)
    return name

@task
def check(word=""):
    if os.environ.get("BAD", "") == "yes":
        raise ValueError(f"wrong {word}")
"""

SIMPLE = """
@flow
def main():
    with transaction():
        write("a")
        write("b")
        check()
    say("after")
    if os.environ.get("LATE"):
        raise ValueError("later")
"""


def said(project: Project) -> str:
    path = project.root / "said"
    words = path.read_text().strip() if path.exists() else ""
    path.unlink(missing_ok=True)
    return words


def run(project: Project, **env: str) -> Outcome:
    return project.run(env=env)


def test_hooks_run_in_order_once_all_is_done(project: Project):
    project.write(HEADER + SIMPLE)
    outcome = run(project)
    assert said(project) == "a b commit:a commit:b after"
    ends = [(f["kind"], f["name"], f["outcome"]) for f in outcome.of("call.ended")]
    assert ends == [
        ("task", "write", "completed"),
        ("task", "write", "completed"),
        ("task", "check", "completed"),
        ("task", "on_commit write", "completed"),
        ("task", "on_commit write", "completed"),
        ("transaction", "transaction", "completed"),
    ]
    node = outcome.of("call.ended", "transaction")[0]
    assert {f["parent"] for f in outcome.of("call.ended")[:-1]} == {node["call"]}
    assert node["parent"] == "root"


def test_an_error_undoes_in_reverse_order_and_goes_on(project: Project):
    project.write(HEADER + SIMPLE)
    outcome = run(project, BAD="yes")
    assert said(project) == "a b undo:b undo:a"
    assert outcome.ended["error"]["class"] == "ValueError"
    assert outcome.outcomes("transaction") == ["failed"]


def test_what_was_rolled_back_counts_no_more(project: Project):
    project.write(HEADER + SIMPLE)
    for _ in range(2):
        run(project, BAD="yes")
        assert said(project) == "a b undo:b undo:a"
    assert run(project).outcome == "completed"
    assert said(project) == "a b commit:a commit:b after"


def test_what_was_committed_is_not_committed_again(project: Project):
    project.write(HEADER + SIMPLE)
    assert run(project, LATE="yes").outcome == "failed"
    assert said(project) == "a b commit:a commit:b after"
    assert run(project).outcomes("write") == ["skipped", "skipped"]
    assert said(project) == "after"


def test_an_attempt_that_died_while_committing_is_gone_on_with(project: Project):
    project.write(HEADER + SIMPLE)
    run(project, DIE="commit:b")
    assert said(project) == "a b commit:a commit:b"
    assert run(project).outcome == "completed"
    assert said(project) == "commit:b after"


def test_an_attempt_that_died_while_undoing_is_finished_and_then_begun_anew(project: Project):
    project.write(HEADER + SIMPLE)
    run(project, BAD="yes", DIE="undo:a")
    assert said(project) == "a b undo:b undo:a"
    outcome = run(project)  # it would go well now, but half of it is undone
    assert said(project) == "undo:a"
    assert outcome.ended["error"]["class"] == "headway.RolledBack"
    assert "ValueError: wrong" in outcome.ended["error"]["message"]
    assert outcome.outcomes("check") == []
    assert run(project).outcome == "completed"
    assert said(project) == "a b commit:a commit:b after"


def test_a_commit_hook_that_fails_undoes_all(project: Project):
    project.write(HEADER + SIMPLE)
    outcome = run(project, FAIL="commit:b")
    assert said(project) == "a b commit:a commit:b undo:b undo:a"
    assert outcome.ended["error"]["class"] == "OSError"
    assert run(project).outcome == "completed"
    assert said(project) == "a b commit:a commit:b after"


def test_an_undo_hook_that_fails_is_logged_and_the_others_run(project: Project):
    project.write(HEADER + SIMPLE)
    outcome = run(project, BAD="yes", FAIL="undo:b")
    assert said(project) == "a b undo:b undo:a"
    assert outcome.ended["error"]["class"] == "ValueError"
    assert any("write could not be undone" in line for line in outcome.logs())


def test_a_death_in_the_block_runs_no_hooks_and_the_next_attempt_goes_on(project: Project):
    project.write(
        HEADER + SIMPLE.replace("        check()", "        os.environ.get('DIE') and os._exit(9)")
    )
    run(project, DIE="yes")
    assert said(project) == "a b"
    run(project)
    assert said(project) == "commit:a commit:b after"


NESTED = """
@flow
def main():
    with transaction("outer") as outer:
        outer.set("table", "rates")
        write("a")
        try:
            with transaction("inner") as inner:
                say(inner.get("table") + inner.get("none", "-"))
                write("b")
                {inside}
        except ValueError:
            say("caught")
        write("c")
        {outside}
"""


@pytest.mark.parametrize(
    ("inside", "outside", "words"),
    [
        ("pass", "pass", "a rates- b c commit:a commit:b commit:c"),
        ("check()", "pass", "a rates- b undo:b caught c commit:a commit:c"),
        ("pass", "check()", "a rates- b c undo:c undo:b undo:a"),
        ("check()", "check()", "a rates- b undo:b caught c undo:c undo:a"),
    ],
)
def test_a_transaction_in_another_commits_with_it(
    project: Project, inside: str, outside: str, words: str
):
    project.write(HEADER + NESTED.format(inside=inside, outside=outside))
    run(project, BAD="yes")
    assert said(project) == words.replace("  ", " ")


def test_hooks_see_the_values_of_the_transaction_that_their_task_was_called_in(project: Project):
    project.write(
        HEADER.replace(
            'say(f"commit:{step.value}")',
            "say(f\"{step.transaction.get('table')}:{step.transaction.get('day')}\")",
        )
        + """
@flow
def main():
    with transaction("outer") as outer:
        outer.set("table", "rates")
        outer.set("day", "monday")
        write("a")
        with transaction("inner") as inner:
            inner.set("table", "orders")
            write("b")
"""
    )
    run(project)
    assert said(project) == "a b rates:monday orders:monday"


def test_an_unfinished_rollback_of_both_is_finished_in_order(project: Project):
    project.write(HEADER + NESTED.format(inside="pass", outside="check()"))
    run(project, BAD="yes", DIE="undo:c")
    said(project)
    outcome = run(project)
    assert said(project) == "rates- undo:c undo:b undo:a"
    assert outcome.ended["error"]["class"] == "headway.RolledBack"


def test_submitted_calls_are_waited_for_and_belong_to_it(project: Project):
    project.write(
        HEADER
        + """
@flow
def main():
    with transaction():
        write.map(["a", "b", "c"])
        check.submit()
    say("after")
"""
    )
    run(project)
    words = said(project).split()
    assert sorted(words[:3]) == ["a", "b", "c"]
    assert words[3:] == ["commit:a", "commit:b", "commit:c", "after"]
    assert run(project, BAD="yes").outcome == "completed"  # all of it was completed
    project.logs.clear()
    project.runs = project.root / "other"
    run(project, BAD="yes")
    words = [word for word in said(project).split() if word.startswith("undo")]
    assert words == sorted(words, reverse=True)


ASYNC = """
@task(on_commit=commit, on_rollback=undo)
async def send(name):
    await asyncio.sleep(0)
    say(name)
    return name

@flow
async def main():
    {with_}:
        await send("a")
        send.submit("b")
        check()
"""


def test_async_code_has_async_with(project: Project):
    project.write(HEADER + ASYNC.format(with_="async with transaction()"))
    run(project)
    assert said(project) == "a b commit:a commit:b"
    project.logs.clear()
    project.runs = project.root / "other"
    run(project, BAD="yes")
    assert said(project).startswith("a ")
    project.write(HEADER + ASYNC.format(with_="with transaction()"))
    project.runs = project.root / "another"
    project.logs.clear()
    assert "async with transaction()" in run(project).ended["error"]["message"]


def test_a_cancel_undoes(project: Project):
    project.write(
        HEADER
        + """
import time
@flow
def main():
    with transaction():
        write("a")
        print("ready")
        while True:
            time.sleep(0.01)
"""
    )
    process = project.start(env={})
    process.seen(lambda f: f["type"] == "call.ended")
    process.cancel()
    assert process.finish().outcome == "cancelled"
    assert said(project) == "a undo:a"


def test_a_suspended_flow_comes_back_to_its_transaction(project: Project):
    project.write(
        HEADER
        + """
@flow
def main():
    with transaction():
        write("a")
        headway.sleep(3600, suspend_after=0)
        write("b")
"""
    )
    first = project.run(answers=[], env={})
    assert first.outcome == "suspended"
    assert said(project) == "a"
    (wait,) = first.ended["waits"]
    project.run(answers=[{"call": wait["call"], "over": True}], env={})
    assert said(project) == "b commit:a commit:b"


def test_the_cache_gets_what_was_committed_and_hooks_belong_to_executions(project: Project):
    project.write(
        HEADER
        + """
cached = write.with_options(cache=INPUTS)

@flow
def main():
    with transaction():
        cached("a")
        check()
"""
    )
    entries = project.store / "cache/entries"
    run(project, BAD="yes")
    assert not list(entries.glob("*/*"))
    run(project)
    assert len(list(entries.glob("*/*"))) == 1
    said(project)
    project.logs.clear()
    project.runs = project.root / "other"
    run(project)
    assert said(project) == "a commit:a"


def test_outside_a_run_it_carries_values_alone():
    heard = []

    @task(on_commit=heard.append)
    def write():
        return 1

    with transaction() as work:
        work.set("a", 1)
        assert (write(), work.get("a"), work.get("b")) == (1, 1, None)
    assert heard == []


def test_what_cannot_work_is_refused():
    async def later(step):
        pass

    def fine(value):
        return value

    for hook in (3, later):
        with pytest.raises(InvalidOption, match=r"takes a headway\.TransactionStep"):
            task(on_rollback=hook)(fine)
    for name in ("", "a\nb", 3):
        with pytest.raises(InvalidOption, match="printable text"):
            transaction(name)
    work = transaction()
    with work:
        pass
