"""What a whole Headway costs while nothing happens."""

from __future__ import annotations

import re
import time

import psycopg

from benchmarks.bench import Bench
from benchmarks.report import Figure, Goal
from benchmarks.usage import cpu_by_part
from support.stack import Stack, local_database_url

SUMMARY = "CPU and statements of an idle system: database, server, agent and what supervises them"
_STATEMENT = re.compile(rb"LOG:  (?:statement|execute [^:]*): ([^\n]*)")


def measure(bench: Bench) -> list[Figure]:
    stack, seconds = bench.stack, bench.size(30, 1)
    time.sleep(bench.size(10, 0))  # the work of benchmarks before this one is told and swept
    before, begun = cpu_by_part(stack), time.monotonic()
    time.sleep(seconds)
    after, took = cpu_by_part(stack), time.monotonic() - begun
    cpu = {part: (after[part] - before[part]) / took * 100 for part in after}
    statements = _statements(stack, seconds)
    said = ", ".join(f"{part} {share:.2f}" for part, share in cpu.items())
    most = "; ".join(f"{count}x {text}" for text, count in _most(statements))
    return [
        Figure("CPU, of a core", "%", cpu["all"], goal=Goal(1), note=said),
        Figure("statements", "1/s", len(statements) / seconds, goal=Goal(2), note=most),
    ]


def _statements(stack: Stack, seconds: float) -> list[str]:
    """Every statement that the server logs in a while."""
    log = stack.home / "log" / "postgres.log"
    with psycopg.connect(local_database_url(stack.home), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.2)
        start = log.stat().st_size
        time.sleep(seconds)
        end = log.stat().st_size
        connection.execute("ALTER SYSTEM RESET log_statement")
        connection.execute("SELECT pg_reload_conf()")
    with log.open("rb") as file:
        file.seek(start)
        found = _STATEMENT.findall(file.read(end - start))
    return [each.decode(errors="replace").strip() for each in found]


def _most(statements: list[str]) -> list[tuple[str, int]]:
    counted: dict[str, int] = {}
    for each in statements:
        key = each[:60]
        counted[key] = counted.get(key, 0) + 1
    return sorted(counted.items(), key=lambda item: -item[1])[:8]
