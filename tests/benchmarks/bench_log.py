"""How near appending comes to the rate of a bare binary `unnest` of the same bytes, measured in the same run.

    python tests/benchmarks/bench_log.py [--seconds 3] [--facts 100] [--senders 32]

Prints the raw rate, ours, the ratio, and the CPU that each stage spends on an event. Absolute numbers are this
machine's; the ratio is what to compare.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
import uvloop

from headway_control_plane.application.ports import AttemptFacts
from headway_control_plane.db.embedded import EmbeddedPostgres
from headway_control_plane.db.migrate import migrate
from headway_control_plane.domain.streams import Stream, StreamKind
from headway_control_plane.log import packed
from headway_control_plane.log.columns import INSERT_EVENTS, EventColumns, Head, Source
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import prepare
from support.log_fixtures import calls, new_fleet, new_ids, open_log
from support.postgres import server_programs

DATABASE = "bench"


@dataclass
class Rate:
    events: int
    seconds: float
    cpu_seconds: float  # of this process

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.events * 1e6


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def postgres_cpu(postmaster: int) -> float:
    """Return the CPU seconds of the server's processes, the ended ones included."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == postmaster or int(folder.name) == postmaster:
            total += int(fields[11]) + int(fields[12])
            if int(folder.name) == postmaster:
                total += int(fields[13]) + int(fields[14])
    return total / ticks


def template(facts: int):
    received = AttemptFacts(new_ids()(), 1, 1, calls(1, facts))
    ids = EventIds(lambda: int(time.time() * 1000), os.urandom)
    return prepare(received, ids)


async def raw_rate(url: str, batch: int, seconds: float) -> Rate:
    """Insert the same bytes with one statement and one commit a batch, on two connections, and do nothing else."""
    prepared = template(batch)
    done = 0

    async def insert(n: int) -> None:
        nonlocal done
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, options="-c search_path=headway"
        )
        async with connection:
            packed.register(connection)
            seg = int(time.time() // 86400)
            until = time.monotonic() + seconds
            offset = 0
            ids = new_ids()
            while time.monotonic() < until:
                # Keys must differ; this is all the work done for a batch.
                head = Head(1_000_000 + n, ids(), 0, 1, offset, seg, b"c" * 32, 1)
                columns = EventColumns()
                stream = Stream(StreamKind.ATTEMPT, head.workspace, 1)
                columns.append(head, stream, offset + 1, prepared, Source.of("agent/x", None, ""))
                arrays = columns.arrays()
                begun = time.monotonic()
                await connection.execute(INSERT_EVENTS, arrays, prepare=True)
                spent[n] += time.monotonic() - begun
                offset = head.offset
                done += batch

    spent = [0.0, 0.0]
    cpu = own_cpu()
    await asyncio.gather(insert(0), insert(1))
    # Time within statements alone: building the arrays is not the database's.
    return Rate(done, sum(spent) / 2, own_cpu() - cpu)


async def our_rate(url: str, facts: int, senders: int, workspaces: int, seconds: float) -> Rate:
    async with open_log(url) as log:
        fleets = [await new_fleet(log) for _ in range(workspaces)]
        lot = calls(1, facts)
        done = 0
        until = time.monotonic() + seconds

        async def send(n: int) -> None:
            nonlocal done
            fleet = fleets[n % len(fleets)]
            run = await fleet.granted_run()
            seq = 1
            while time.monotonic() < until:
                verdict = await fleet.report(run, 1, seq, lot)
                assert verdict.verdict == "ok", verdict
                seq += facts
                done += facts

        begun, cpu = time.monotonic(), own_cpu()
        await asyncio.gather(*(send(n) for n in range(senders)))
        return Rate(done, time.monotonic() - begun, own_cpu() - cpu)


def stages(facts: int) -> dict[str, float]:
    """CPU microseconds an event of what Python does, stage by stage."""
    ids = EventIds(lambda: int(time.time() * 1000), os.urandom)
    lot = calls(1, facts)
    received = AttemptFacts(new_ids()(), 1, 1, lot)
    head = Head(1, new_ids()(), 0, 1, 0, 20_000, b"c" * 32, 1)
    prepared = prepare(received, ids)
    stream = Stream(StreamKind.ATTEMPT, received.run, 1)
    source = Source.of("agent/x", None, "")

    def take_ids() -> None:
        ids.take(facts)

    def check_and_pack() -> None:
        prepare(received, ids)

    def place_and_chain() -> EventColumns:
        columns = EventColumns()
        columns.append(head, stream, 1, prepared, source)
        return columns

    columns = place_and_chain()
    named = {
        "ids": take_ids,
        "check, digest and pack (before the lock)": check_and_pack,
        "place and chain (under the lock)": place_and_chain,
        "arrays": columns.arrays,
    }
    return {name: _cpu_us(stage, facts) for name, stage in named.items()}


def _cpu_us(stage, events: int) -> float:
    rounds = max(1, 200_000 // events)
    begun = time.process_time()
    for _ in range(rounds):
        stage()
    return (time.process_time() - begun) / rounds / events * 1e6


async def run(url: str, postmaster: int, options: argparse.Namespace) -> None:
    print(f"{options.senders} senders x {options.facts} facts, {options.workspaces} workspaces")
    ours_cpu = postgres_cpu(postmaster)
    ours = await our_rate(url, options.facts, options.senders, options.workspaces, options.seconds)
    ours_cpu = postgres_cpu(postmaster) - ours_cpu
    raw_cpu = postgres_cpu(postmaster)
    raw = await raw_rate(url, 1_000, options.seconds)
    raw_cpu = postgres_cpu(postmaster) - raw_cpu
    print(
        f"bare unnest, 1000 a commit  {raw.per_second:10,.0f} events/s   PostgreSQL {raw_cpu / raw.events * 1e6:5.1f} us/event"
    )
    print(
        f"appended                    {ours.per_second:10,.0f} events/s   PostgreSQL {ours_cpu / ours.events * 1e6:5.1f} us/event   Python {ours.cpu_us:5.1f} us/event"
    )
    print(f"ratio                       {ours.per_second / raw.per_second:10.0%}")
    for name, cpu in stages(options.facts).items():
        print(f"  {name:44} {cpu:6.2f} us/event")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--facts", type=int, default=100)
    parser.add_argument("--senders", type=int, default=32)
    parser.add_argument("--workspaces", type=int, default=4)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    binaries = server_programs("embedded")
    with tempfile.TemporaryDirectory(prefix="hw-bench-") as home:
        with EmbeddedPostgres(Path(home), binaries) as postgres:
            postgres.create_database(DATABASE)
            url = postgres.url(DATABASE)
            migrate(url)
            postmaster = int((postgres.data / "postmaster.pid").read_text().splitlines()[0])
            if options.profile:
                import cProfile
                import pstats

                profile = cProfile.Profile()
                profile.enable()
                uvloop.run(
                    our_rate(
                        url, options.facts, options.senders, options.workspaces, options.seconds
                    )
                )
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(35)
            else:
                uvloop.run(run(url, postmaster, options))


if __name__ == "__main__":
    main()
