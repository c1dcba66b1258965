"""Services: started and stopped in any order, woken, paced, and never dead in silence."""

import asyncio
from random import Random

import pytest
from psycopg_pool import PoolClosed

from headway_control_plane.background.service import Service
from headway_control_plane.background.supervisor import ServiceEnded, Supervisor


class Outage(Exception):
    pass


class Counting:
    """Work that counts its looks and does what it is told at each."""

    def __init__(self, name: str = "counting", interval: float = 3600.0) -> None:
        self.name = name
        self.interval = interval
        self.looks = 0
        self.more = 0
        self.errors: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.active = 0
        self._looked = asyncio.Condition()

    async def run_once(self) -> bool:
        self.active += 1
        assert self.active == 1, "never two looks at once"
        try:
            async with self._looked:
                self.looks += 1
                self._looked.notify_all()
            if self.gate is not None:
                await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            self.more -= 1
            return self.more >= 0
        finally:
            self.active -= 1

    async def until(self, looks: int) -> None:
        async with self._looked, asyncio.timeout(10):
            await self._looked.wait_for(lambda: self.looks >= looks)


def service(work: Counting, **options) -> Service:
    values = {"random": Random(1), "prompt": True, "transient": (Outage,)}
    return Service(work, **(values | options))


async def test_it_looks_at_once_when_woken_and_rests_otherwise() -> None:
    work = Counting()
    it = service(work)
    it.start()
    await work.until(1)
    it.wake()
    await work.until(2)
    it.wake()
    it.wake()
    await work.until(3)
    await it.stop()
    assert work.looks == 3


async def test_it_goes_on_while_more_waits() -> None:
    work = Counting()
    work.more = 5
    it = service(work)
    it.start()
    await work.until(6)
    await it.stop()


async def test_a_wake_during_a_look_is_not_lost() -> None:
    work = Counting()
    work.gate = asyncio.Event()
    it = service(work)
    it.start()
    await work.until(1)
    it.wake()
    work.gate.set()
    await work.until(2)
    await it.stop()


async def test_it_comes_back_by_itself_after_its_interval() -> None:
    work = Counting(interval=0.01)
    it = service(work)
    it.start()
    await work.until(5)
    await it.stop()


async def test_the_first_look_is_spread_over_the_interval() -> None:
    work = Counting(interval=3600.0)
    it = service(work, prompt=False)
    it.start()
    await asyncio.sleep(0)
    assert work.looks == 0
    it.wake()
    await work.until(1)
    await it.stop()


async def test_an_outage_is_waited_out() -> None:
    work = Counting(interval=0.01)
    work.errors = [Outage(), Outage()]
    it = service(work)
    it.start()
    await work.until(4)
    assert it.running
    await it.stop()


async def test_stopping_waits_for_the_piece_under_way() -> None:
    work = Counting()
    work.gate = asyncio.Event()
    it = service(work)
    it.start()
    await work.until(1)
    stopping = asyncio.create_task(it.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    work.gate.set()
    await stopping
    assert work.active == 0
    assert not it.running


async def test_a_piece_that_never_ends_is_cancelled() -> None:
    work = Counting()
    work.gate = asyncio.Event()
    it = service(work, stop_timeout=0.01)
    it.start()
    await work.until(1)
    await it.stop()
    assert work.active == 0


@pytest.mark.parametrize("seed", range(10))
async def test_any_order_of_starts_and_stops(seed: int) -> None:
    random, work = Random(seed), Counting(interval=0.0005)
    it = service(work)

    async def meddle() -> None:
        for _ in range(50):
            match random.randrange(4):
                case 0:
                    it.start()
                case 1:
                    await it.stop()
                case 2:
                    it.wake()
                case _:
                    await asyncio.sleep(random.random() * 0.002)

    await asyncio.gather(*(meddle() for _ in range(4)))
    await it.stop()
    looks = work.looks
    await asyncio.sleep(0.005)
    assert work.looks == looks
    it.start()
    await work.until(looks + 1)
    await it.stop()
    assert work.active == 0


async def test_an_error_that_nobody_foresaw_starts_the_loop_anew() -> None:
    work, recovered = Counting(), []
    work.errors = [ZeroDivisionError(), ZeroDivisionError()]
    it = service(work, recover=lambda: recovered.append(work.looks))
    it.start()
    await work.until(3)
    assert len(recovered) == 2
    assert it.running
    await it.stop()


async def test_a_loop_that_dies_ends_all_and_its_error_is_the_end() -> None:
    good, bad = Counting("good"), Counting("bad")
    bad.errors = [PoolClosed()]
    with pytest.raises(PoolClosed):
        async with Supervisor([service(good), service(bad)]) as supervisor, asyncio.timeout(10):
            await supervisor.wait()
    assert good.active == 0


async def test_stopping_in_order_is_no_end(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor([service(Counting("one")), service(Counting("two"))])
    supervisor.start()
    await supervisor.stop()
    await supervisor.stop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await supervisor.wait()


async def test_services_stop_in_reverse() -> None:
    order: list[str] = []

    class Noting(Service):
        async def stop(self) -> None:
            order.append(self.name)
            await super().stop()

    works = [Counting(name) for name in ("first", "second", "third")]
    async with Supervisor([Noting(w, random=Random(1), transient=()) for w in works]):
        pass
    assert order == ["third", "second", "first"]


async def test_a_service_that_returns_is_an_end_too() -> None:
    class Ending(Counting):
        async def run_once(self) -> bool:
            raise asyncio.CancelledError

    with pytest.raises(ServiceEnded):
        async with Supervisor([service(Ending())]) as supervisor, asyncio.timeout(10):
            await supervisor.wait()
