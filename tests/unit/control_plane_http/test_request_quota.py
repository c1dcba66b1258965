"""What one workspace may have under way: some at work, more in its line, the rest refused; nobody waits for another."""

import asyncio

import pytest

from headway_control_plane.http_api.quota import OverQuota, Quota


class Requests:
    """Requests under way, each of which works until it is let go."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._done = asyncio.Event()
        self.at_work: list[str] = []

    def send(self, key: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._work(key))

    async def _work(self, key: str) -> None:
        async with self._quota.place(key):
            self.at_work.append(key)
            await self._done.wait()
            self.at_work.remove(key)

    def let_go(self) -> None:
        self._done.set()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_some_are_at_work_others_wait_and_the_rest_is_refused() -> None:
    requests = Requests(Quota(most=3, at_once=2))
    tasks = [requests.send("loud") for _ in range(4)]
    await settle()
    assert requests.at_work == ["loud"] * 2
    assert isinstance(tasks[3].exception(), OverQuota)
    neighbour = requests.send("quiet")
    await settle()
    assert "quiet" in requests.at_work
    requests.let_go()
    await asyncio.gather(*tasks[:3], neighbour)


async def test_keys_of_one_workspace_share_what_it_may() -> None:
    quota = Quota(most=2, at_once=1)
    quota.learn("first", 7)
    quota.learn("second", 7)
    requests = Requests(quota)
    tasks = [requests.send("first"), requests.send("second")]
    await settle()
    assert requests.at_work == ["first"]
    with pytest.raises(OverQuota):
        await requests.send("second")
    requests.let_go()
    await asyncio.gather(*tasks)


async def test_a_key_that_was_refused_takes_nothing_from_its_workspace() -> None:
    quota = Quota(most=1, at_once=1)
    quota.learn("revoked", 7)
    quota.learn("live", 7)
    quota.learn("revoked", None)
    requests = Requests(quota)
    tasks = [requests.send("revoked"), requests.send("live")]
    await settle()
    assert requests.at_work == ["revoked", "live"]
    requests.let_go()
    await asyncio.gather(*tasks)


async def test_who_stops_waiting_leaves_its_place() -> None:
    quota = Quota(most=2, at_once=1)
    requests = Requests(quota)
    first, second = requests.send("key"), requests.send("key")
    await settle()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    third = requests.send("key")
    requests.let_go()
    await asyncio.gather(first, third)
    assert not quota._lines
