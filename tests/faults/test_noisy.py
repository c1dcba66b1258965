"""A workspace that asks for a hundred times what it may, of the API and of the log: its neighbour is served, and what is
refused is told when to come again.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from uuid import UUID

import pytest

from headway_control_plane.http_api.services import HttpOptions
from support.http_server import Tenant, serve_api
from support.log_fixtures import Fleet, calls, new_fleet, open_log, started
from support.noise import end, noise

pytestmark = [pytest.mark.postgres, pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

QUOTA = 2
DEFAULT = HttpOptions().requests_of_workspace
NOISE = 100 * QUOTA  # connections that never wait
FLOODERS, FLOOD_FACTS = 60, 256  # messages of facts under way, each as large as an agent sends it
ROUNDS = 3
ASKED = 30
FACTOR, FLOOR = 2.0, 0.3
"""A neighbour's p99 under noise, against its own in the same run; the floor is what a busy machine takes."""
RUN = {"deployment": "nightly", "parameters": {"region": "eu"}}


async def p99(tenant: Tenant) -> float:
    taken = []
    for n in range(ASKED):
        before = time.perf_counter()
        answer = await (
            tenant.client.get("/runs") if n % 3 else tenant.client.post("/runs", json=RUN)
        )
        answer.raise_for_status()
        taken.append(time.perf_counter() - before)
    return statistics.quantiles(taken, n=100)[98]


def judge(trial, quiet: list[float], noisy: list[float], noise_is: object) -> None:
    base, under = statistics.median(quiet), statistics.median(noisy)
    print(f"p99 of the neighbour: {base:.3f} s alone, {under:.3f} s beside {noise_is}")
    slow = [f"{under:.3f} s, alone {base:.3f} s"] if under > FACTOR * base + FLOOR else []
    trial.holds("the neighbour's p99", slow)


@pytest.mark.row(24)
@pytest.mark.parametrize("quota", [QUOTA, DEFAULT])
async def test_a_noisy_workspace_is_refused_and_its_neighbour_is_served(database, trial, quota):
    quiet, noisy = [], []
    answers: Counter[int] = Counter()
    async with serve_api(
        database.url, options=HttpOptions(requests_of_workspace=quota, requests_at_once=2)
    ) as api:
        for tenant in (api.one, api.other):
            await tenant.deploy()
        for _ in range(ROUNDS):
            quiet.append(await p99(api.one))
            loud = noise(api.url, api.other.key, "/api/v1/runs", RUN, NOISE)
            process = await asyncio.to_thread(loud.__enter__)
            try:
                noisy.append(await p99(api.one))
                answers.update(await asyncio.to_thread(end, process))
            finally:
                await asyncio.to_thread(loud.__exit__, None, None, None)
    trial.happened("request refused for its key's quota", answers[429])
    trial.holds(
        "nothing but runs and refusals", [status for status in answers if status not in {201, 429}]
    )
    judge(trial, quiet, noisy, f"{NOISE} connections: {answers}")


class Flood:
    """Facts of one workspace, many messages at once and never a pause; each attempt's in their order."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._over = False
        self.facts = 0

    async def run(self) -> None:
        runs = [await self._fleet.granted_run() for _ in range(FLOODERS)]
        await asyncio.gather(*map(self._report, runs))

    def end(self) -> None:
        self._over = True

    async def _report(self, run: UUID) -> None:
        batch, seq = calls(1, FLOOD_FACTS), 1
        while not self._over:
            await self._fleet.report(run, 1, seq, batch)
            seq += len(batch)
            self.facts += len(batch)


async def p99_of_facts(fleet: Fleet) -> float:
    """Appended one by one, each acknowledged before the next."""
    run = await fleet.granted_run()
    taken = []
    for seq in range(1, ASKED + 1):
        before = time.perf_counter()
        await fleet.report(run, 1, seq, [started()])
        taken.append(time.perf_counter() - before)
    return statistics.quantiles(taken, n=100)[98]


@pytest.mark.row(24)
async def test_a_workspace_whose_agents_flood_leaves_its_neighbour_the_log(database, trial):
    quiet, noisy, facts = [], [], 0
    async with open_log(database.url, lanes=1) as log:
        one, other = await new_fleet(log), await new_fleet(log)
        for _ in range(ROUNDS):
            quiet.append(await p99_of_facts(one))
            flood = Flood(other)
            flooding = asyncio.create_task(flood.run())
            async with asyncio.timeout(60):
                while not flood.facts:
                    await asyncio.sleep(0.001)
            noisy.append(await p99_of_facts(one))
            flood.end()
            await flooding
            facts += flood.facts
    trial.happened("fact of the flood", facts)
    judge(trial, quiet, noisy, f"{facts:,} facts of another")


async def test_a_refusal_says_when_to_come_again(database):
    async with serve_api(database.url, options=HttpOptions(requests_of_workspace=0)) as api:
        refused = await api.one.client.get("/runs")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "too_many_requests"
    assert refused.json()["hint"]
