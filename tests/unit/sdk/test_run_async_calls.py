"""Calls of async flows and tasks, and calls from threads of the user's own."""

from support.flow_process import Project
from support.marks import value


def test_async_flows_and_tasks(project: Project):
    project.write(
        """
import asyncio

@task(retries=1)
async def fetch(n):
    await asyncio.sleep(0)
    if n == 2 and run_context().try_number == 1:
        raise OSError("again")
    return n

@task
def sync(n, more=0):
    return n + more

@flow
async def sub(n):
    return await fetch(n)

@flow
async def main():
    one = await fetch(1)
    two, three = await asyncio.gather(fetch(2), fetch(3))
    four = fetch.submit(4)
    five = sync.submit(1, more=four)
    left = fetch.submit(9)
    return [one, two, three, await four, await five, sync(6), await sub(7)]
"""
    )
    first, second = project.run(), project.run()
    assert value(first) == value(second) == [1, 2, 3, 4, 5, 6, 7]
    assert set(second.outcomes()) == {"skipped"}
    assert len(second.outcomes()) == 8
    assert len(first.of("call.retrying")) == 1
    [inner] = [f for f in first.of("call.ended", "fetch") if f["parent"] != "root"]
    assert inner["parent"] == first.of("call.ended", "sub")[0]["call"]


def test_an_async_task_submitted_by_a_sync_flow_runs_in_a_thread(project: Project):
    project.write(
        """
import asyncio

@task
async def fetch(n):
    await asyncio.sleep(0)
    return n

@flow
def main():
    return [f.result() for f in fetch.map([1, 2])]
"""
    )
    assert value(project.run()) == [1, 2]


def test_blocking_on_a_future_of_the_own_loop_is_told(project: Project):
    project.write(
        """
@task
async def fetch():
    return 1

@flow
async def main():
    try:
        fetch.submit().result()
    except ForgottenAwait as error:
        return "await" in str(error)
"""
    )
    assert value(project.run()) is True


def test_calls_from_a_users_own_thread_belong_to_the_flow(project: Project):
    project.write(
        """
import threading

@task
def work(n):
    return n

@flow
def main():
    thread = threading.Thread(target=work, args=(1,))
    thread.start()
    thread.join()
"""
    )
    assert project.run().of("call.ended")[0]["parent"] == "root"
    assert project.run().outcomes() == ["skipped"]
