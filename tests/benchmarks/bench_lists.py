"""Pages of fifty runs out of a million, by state, deployment and tag, through the API of a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlencode

import psycopg
import uvloop

from benchmarks.bench import Bench
from benchmarks.client import Client
from benchmarks.report import Figure, Goal, percentile, timed
from support.http_server import Api, serve_api

SUMMARY = "50 runs of 1,000,000 by state, deployment, tag, flow, text: first and thousandth page, and counts, at the API"
PAGE, DEEP, STRIDE = 50, 1_000, 200
DEPLOYMENTS, TEAMS = 20, 10
# Big tables that a list touches; reading one from end to end would cost seconds at a customer's size.
BIG = ("run", "run_tag", "attempt")
NO_SYNC = {"fsync": "off", "synchronous_commit": "off", "max_wal_size": "8GB"}


def measure(bench: Bench) -> list[Figure]:
    server = bench.database("lists", **NO_SYNC)
    return uvloop.run(_measure(server.url, bench.size(1_000_000, 3_000), bench.size(100, 3)))


async def _measure(url: str, runs: int, samples: int) -> list[Figure]:
    async with serve_api(url) as api:
        deployments = [(await api.one.deploy(f"nightly-{n}"))["id"] for n in range(DEPLOYMENTS)]
        await asyncio.to_thread(_fill, url, api.one.ws, deployments, runs)
    scans = _scans(url)
    async with serve_api(url) as api:
        # The same workspace by name: bootstrapping twice finds it.
        figures = await asyncio.to_thread(_pages, api, url, samples)
    seen = {table: _scans(url)[table] - scans[table] for table in BIG}
    said = ", ".join(f"{table} {count}" for table, count in seen.items())
    return [
        *figures,
        Figure("sequential scans of them", "", sum(seen.values()), goal=Goal(0), note=said),
    ]


def _pages(api: Api, url: str, samples: int) -> list[Figure]:
    filters = {
        "unfiltered": {},
        "by state": {"state": "failed"},
        "by deployment": {"deployment": "nightly-3"},
        "by tag": {"tag": "team-7"},
        "by flow and state": {"flow": "nightly-etl", "state": "failed"},
        "by all three": {"state": "failed", "deployment": "nightly-3", "tag": "team-7"},
    }
    # A text is looked for among a bounded number of runs; one that nothing has costs the whole bound.
    nothing = {"q": "no such run"}
    bare = {"yardstick": _bare_ms(url, api.one.ws, samples), "yardstick_is": "bare SELECT by state"}
    figures = []
    with closing(Client(api.url, api.one.key)) as client:

        def page(cursor: str | None, limit: int = PAGE, **wanted: str) -> dict:
            more = {"cursor": cursor} if cursor else {}
            return client("GET", f"/runs?{urlencode(wanted | more | {'limit': limit})}")

        for name, wanted in filters.items():
            number, cursor = _walk(lambda c, n, w=wanted: page(c, n, **w))
            for which, at in (("first page", None), (f"page {number}", cursor)):
                took = _timed(lambda a=at, w=wanted: page(a, **w), samples)
                p95 = percentile(took, 0.95)
                figures.append(timed(f"{name}, {which}", took, goal=Goal(20), judged=p95, **bare))
        few = max(3, samples // 10)
        figures.append(
            timed("by a text that nothing has", _timed(lambda: page(None, **nothing), few))
        )
        counted = _timed(lambda: client("GET", "/runs/counts"), few)
        figures.append(timed("counts by state", counted))
    return figures


def _walk(page: Callable[..., dict]) -> tuple[int, str | None]:
    """Go to the thousandth page, or the last one before, in strides first; return its number and its cursor."""
    cursor, pages = None, 0
    strides, singles = divmod(DEEP - 1, STRIDE // PAGE)
    for limit in [STRIDE] * strides + [PAGE] * singles:
        after = page(cursor, limit)["next"]
        if after is None:
            break
        cursor, pages = after, pages + limit // PAGE
    return pages + 1, cursor


def _bare_ms(url: str, ws: int, samples: int) -> float:
    statement = "SELECT * FROM headway.run WHERE ws = %s AND status = %s ORDER BY run DESC LIMIT 50"
    with psycopg.connect(url, autocommit=True) as connection:

        def look() -> None:
            connection.execute(statement, [ws, "failed"], prepare=True).fetchall()

        return percentile(_timed(look, samples), 0.5)


def _timed(work: Callable[[], object], samples: int) -> list[float]:
    took = []
    for _ in range(samples + 3):  # the first few prepare plans and fill caches
        begun = time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1e3)
    return took[3:]


def _scans(url: str) -> dict[str, int]:
    """How often each big table was read from end to end; every connection before this one has told."""
    statement = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY (%s)"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_clear_snapshot()")
        return dict(connection.execute(statement, [list(BIG)]).fetchall())


def _fill(url: str, ws: int, deployments: list[str], runs: int) -> None:
    """Write runs as a year of work leaves them: nine of ten completed, each with a team's tag and one attempt."""
    values = {"ws": ws, "deployments": deployments, "runs": runs, "teams": TEAMS}
    with psycopg.connect(url, autocommit=True, options="-c search_path=headway") as connection:
        connection.execute(_RUNS, values)
        connection.execute(_TAGS, values)
        connection.execute(_ATTEMPTS, values)
        connection.execute("VACUUM (ANALYZE) run, run_tag, attempt")


_RUNS = """
INSERT INTO run
SELECT ws, (lpad(to_hex(1760000000000 + n * 10), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
       4, d.shard, CASE n %% 50 WHEN 1 THEN 'failed' WHEN 2 THEN 'failed' WHEN 3 THEN 'failed' WHEN 4 THEN 'crashed' WHEN 5 THEN 'cancelled' ELSE 'completed' END,
       '', 1, d.deployment, d.pool, d.flow, 'run-' || n, ARRAY['team-' || (n / 7) %% %(teams)s],
       d.environment, d.entrypoint, d.code_hash, '', 3, d.retries, d.retry_delay_ms, d.on_lost, d.cancel_grace_ms, d.kill_grace_ms,
       0, 0, NULL, at, at, at, at + interval '5 s', '', '', ''
FROM (SELECT n, timestamptz '2025-10-09' + n * interval '10 ms' AS at FROM generate_series(1, %(runs)s) AS n) AS numbers
JOIN LATERAL (SELECT deployment.*, workspace.shard FROM deployment JOIN workspace USING (ws)
              WHERE ws = %(ws)s AND deployment = (%(deployments)s::uuid[])[1 + (n / 3) %% cardinality(%(deployments)s::uuid[])]) AS d ON true
"""
_TAGS = "INSERT INTO run_tag SELECT ws, unnest(tags), run FROM run WHERE ws = %(ws)s"
_ATTEMPTS = """
INSERT INTO attempt SELECT ws, run, 1, 'closed', gen_random_uuid(), gen_random_uuid(), 3, created_at, started_at, ended_at, status, false
FROM run WHERE ws = %(ws)s
"""
