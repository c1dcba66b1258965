"""One run that starts 50, 200 and 500 others and waits for them: what each child costs as they get more."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass
from pathlib import Path

import psycopg

from benchmarks.bench import FLOWS, Bench
from benchmarks.report import Figure, Goal
from benchmarks.usage import cpu_by_part
from support.eventually import eventually
from support.stack import TERMINAL, Stack, local_database_url

SUMMARY = "a run with 50, 200 and 500 children: time, CPU, bytes and transactions of each child"
_SIZES = (50, 200, 500)
# What a run's long columns are rewritten as: chunks of two kilobytes beside the row.
_WRITTEN = """
SELECT (SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')),
       (SELECT sum(s.n_tup_ins) FROM pg_class c JOIN pg_stat_all_tables s ON s.relid = c.reltoastrelid WHERE c.oid = 'headway.run'::regclass),
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Used:
    """Since the beginning of everything; the difference of two is what something took."""

    seconds: float
    wal_kb: float
    chunks: float
    transactions: float
    postgres_ms: float
    server_ms: float

    def since(self, before: Used) -> Used:
        return Used(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))


def measure(bench: Bench) -> list[Figure]:
    stack = bench.stack
    stack.deploy("families:member", "member", "--isolation", "reuse", root=FLOWS)
    stack.deploy("families:family", "family", root=FLOWS)
    figures = []
    with psycopg.connect(local_database_url(stack.home), autocommit=True) as connection:
        hold = bench.folder / "hold"
        _family(stack, connection, hold, 8)  # processes that are kept are there
        smallest: list[Used] = []
        for count in _SIZES[: bench.size(len(_SIZES), 1)]:
            *parts, attempts = _family(stack, connection, hold, count)
            each = [Used(*(value / count for value in astuple(used))) for used in parts]
            smallest = smallest or each
            for part, used, least in zip(("to ask", "to answer"), each, smallest, strict=True):
                figures += _figures(f"{part} each of {count}", used, least)
            figures.append(Figure(f"attempts of the parent of {count}", "", attempts))
    return figures


def _figures(name: str, each: Used, smallest: Used) -> list[Figure]:
    beside = f"of each of {_SIZES[0]}"
    said = {
        "time": ("ms", each.seconds * 1e3, smallest.seconds * 1e3),
        "CPU of PostgreSQL": ("ms", each.postgres_ms, smallest.postgres_ms),
        "CPU of the server": ("ms", each.server_ms, smallest.server_ms),
        "written ahead": ("kB", each.wal_kb, smallest.wal_kb),
        "transactions": ("", each.transactions, smallest.transactions),
        "chunks of long columns": ("", each.chunks, smallest.chunks),
    }
    return [
        Figure(
            f"{name}: {what}",
            unit,
            value,
            yardstick=yardstick,
            yardstick_is=beside,
            goal=Goal(1.5, of_yardstick=True)
            if what == "written ahead" and "answer" in name
            else None,
        )
        for what, (unit, value, yardstick) in said.items()
    ]


def _family(
    stack: Stack, connection: psycopg.Connection, hold: Path, count: int
) -> tuple[Used, Used, int]:
    """What it took until the parent waited, and from there to its end."""
    begun = _used(stack, connection)
    run = stack.start_run("family", count=count, hold=str(hold))
    eventually(lambda: _is(stack, run, {"paused"}), seconds=900, what="the parent waits")
    waits = _used(stack, connection)
    hold.touch()
    ended = eventually(lambda: _is(stack, run, TERMINAL), seconds=900, what="the family ends")
    hold.unlink()
    assert ended["state"] == "completed", ended
    assert ended["result"]["preview"] == str(sum(range(count))), ended
    return waits.since(begun), _used(stack, connection).since(waits), ended["attempt"]


def _is(stack: Stack, run: str, states: set[str]) -> dict | None:
    found: dict = stack.api("GET", f"/runs/{run}")
    time.sleep(0.1)  # looking is not what is measured
    return found if found["state"] in states else None


def _used(stack: Stack, connection: psycopg.Connection) -> Used:
    row = connection.execute(_WRITTEN).fetchone()
    assert row is not None
    wal, chunks, transactions = map(float, row)
    cpu = cpu_by_part(stack)
    return Used(
        time.perf_counter(),
        wal / 1e3,
        chunks,
        transactions,
        cpu["postgres"] * 1e3,
        cpu["server"] * 1e3,
    )
