"""A page of 50 among very many runs, at the API, by filter: the first page and the thousandth.

    python tests/benchmarks/bench_runs_list.py [--runs 1000000] [--rounds 200]

Prints p50 and p95 in milliseconds, beside the raw limit measured in the same minutes: the same socket, authentication and
transaction for one run by its key.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx

from headway_control_plane.application.api_keys import issue_api_key
from headway_control_plane.db.embedded import EmbeddedPostgres, find_binaries
from headway_control_plane.db.migrate import migrate
from support.http_server import serve_api
from support.many_runs import DEPLOYMENTS, fill_runs
from support.postgres import HASTE, ScratchDatabase

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FILTERS: dict[str, dict[str, object]] = {
    "all": {},
    "state failed": {"state": "failed"},
    "state open (4)": {"state": ["scheduled", "pending", "running", "paused"]},
    "deployment": {"deployment": str(DEPLOYMENTS[3])},
    "deployment + failed": {"deployment": str(DEPLOYMENTS[3]), "state": "failed"},
    "flow + failed": {"flow": "flow-3", "state": "failed"},
    "tag": {"tag": "tag-7"},
    "tag + state (common)": {"tag": "all", "state": "failed"},
    "tag + deployment": {"tag": "all", "deployment": str(DEPLOYMENTS[3])},
    "text, nothing found": {"q": "no such run"},
}


async def measure(call: Callable[[], Awaitable[object]], rounds: int) -> tuple[float, float]:
    times = []
    for _ in range(rounds):
        began = perf_counter()
        await call()
        times.append((perf_counter() - began) * 1000)
    return statistics.median(times), statistics.quantiles(times, n=20)[18]


async def get(client: httpx.AsyncClient, path: str, query: dict[str, object]) -> dict:
    answer = await client.get(path, params=query)
    answer.raise_for_status()
    return answer.json()


async def thousandth(client: httpx.AsyncClient, query: dict[str, object]) -> str | None:
    """Walk in large steps to where the thousandth page of 50 begins."""
    cursor: str | None = None
    for _ in range(250):
        page = await get(client, "/runs", query | {"limit": 200, "cursor": cursor or None})
        cursor = page["next"]
        if cursor is None:
            return None
    return cursor


async def bench(database: ScratchDatabase, rounds: int) -> None:
    async with serve_api(database.url) as api:
        services = api.services
        key = await issue_api_key(
            services.credentials, services.entropy, services.clock, 1, name="bench"
        )
        async with api.new_client(headers={"Authorization": f"Bearer {key.text}"}) as client:
            one = (await get(client, "/runs", {"limit": 1}))["items"][0]["id"]
            floor, floor95 = await measure(lambda: get(client, f"/runs/{one}", {}), rounds)
            counts, counts95 = await measure(lambda: get(client, "/runs/counts", {}), rounds // 10)
            print(f"{'one run by id (raw limit)':<28} p50 {floor:6.1f}  p95 {floor95:6.1f}")
            print(f"{'counts by state':<28} p50 {counts:6.1f}  p95 {counts95:6.1f}")
            for name, query in FILTERS.items():
                first, first95 = await measure(lambda q=query: get(client, "/runs", q), rounds)
                line = f"{name:<28} p50 {first:6.1f}  p95 {first95:6.1f}  x{first / floor:4.1f}"
                cursor = None if name.startswith("text") else await thousandth(client, query)
                if cursor is not None:
                    far = query | {"cursor": cursor}
                    deep, deep95 = await measure(lambda q=far: get(client, "/runs", q), rounds)
                    line += f"   page 1,000: p50 {deep:6.1f}  p95 {deep95:6.1f}"
                print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hw") as home:
        settings = HASTE | {"shared_buffers": "256MB", "max_wal_size": "4GB"}
        with EmbeddedPostgres(Path(home), find_binaries(), overrides=settings) as postgres:
            postgres.create_database("bench")
            migrate(postgres.url("bench"))
            database = ScratchDatabase("bench", postgres.url("bench"))
            began = perf_counter()
            fill_runs(database, given.runs, now=NOW)
            print(f"{given.runs:,} runs in {perf_counter() - began:.0f} s; milliseconds at the API")
            asyncio.run(bench(database, given.rounds))


if __name__ == "__main__":
    main()
