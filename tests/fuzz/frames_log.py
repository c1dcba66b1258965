"""`frames.log` as a crash, a bad disk or a careless hand leaves it: both readers yield whole records only, and a writer cuts what is torn."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from fuzz import mutation
from fuzz.corpus import Script
from fuzz.frames import EXAMPLES, quick_folder
from fuzz.harness import Finding, Target
from headway.runtime.frames_log import HEADER, MAX_FRAME, NUMBER, Writer, read_from
from headway.runtime.journal import Journal
from headway_agent.spool.frames import FactLog, append_last, encode_record
from support.frames_golden import LOG

EXITED = {
    "type": "attempt.exited",
    "at_us": 1,
    "outcome": "crashed",
    "cause": "supervisor lost",
    "lines": 0,
}


class FramesLog(Target):
    """A script is one piece: the file."""

    name = "frames_log"
    traced = ("headway.runtime.frames_log", "headway_agent.spool.frames", "headway.runtime.journal")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(dir=quick_folder()) as folder:
            self._folder = Path(folder)
            yield

    def seeds(self) -> Iterable[Script]:
        frames = [
            json.dumps(json.loads(path.read_text())).encode()
            for path in sorted(EXAMPLES.glob("*.json"))
        ]
        yield (LOG,)
        yield (b"".join(encode_record(n, frame) for n, frame in enumerate(frames, 1)),)
        yield (b"",)

    def mutate(self, random: Random, script: Script) -> Script:
        (data,) = script or (b"",)
        chance = random.random()
        if chance < 0.4:
            return (mutation.bytes_(random, data),)
        records = [raw for _, raw in whole_records(data)]
        if not records:
            return (mutation.bytes_(random, data),)
        if chance < 0.75:  # a sound record of a wrong frame
            at = random.randrange(len(records))
            records[at] = mutation.json_(random, records[at])
            return (b"".join(encode_record(n, raw) for n, raw in enumerate(records, 1)),)
        numbered = list(enumerate(records, 1))
        wrong = mutation.order(random, tuple(encode_record(n, raw) for n, raw in numbered))
        if chance < 0.8:
            size = random.choice((MAX_FRAME - 1, MAX_FRAME, MAX_FRAME + 1))
            wrong = (*wrong, encode_record(len(wrong) + 1, b'"' + b"x" * (size - 2) + b'"'))
        return (b"".join(wrong),)

    async def execute(self, script: Script) -> Hashable:
        (data,) = script or (b"",)
        path = self._folder / "frames.log"
        path.write_bytes(data)
        wanted = whole_records(data)
        try:
            sdk = [(record.n, record.raw) for record in read_from(path)]
            log = FactLog(path)
            log.scan()
            agent = [(record.n, record.raw) for record in log.read(0, 1 << 30, 1 << 40)]
            len(Journal.load([str(path)], str(self._folder)))
            self._closed(path)
            self._gone_on(path, data)
        except Finding:
            raise
        except Exception as error:
            raise Finding.of("a reader failed", error) from error
        if sdk != wanted or agent != wanted:
            raise Finding(
                f"records {[n for n, _ in wanted]} are whole, the readers say {len(sdk)} and {len(agent)}"
            )
        return len(wanted), log.starting is None, log.ended is None, log.exited is None

    def _gone_on(self, path: Path, data: bytes) -> None:
        """A new writer cuts the torn tail and goes on behind it."""
        path.write_bytes(data)
        whole = len(whole_records(data))
        writer = Writer.reopen(path)
        writer.append([b'{"type":"next"}'])
        writer.commit()
        writer.close()
        if [record.n for record in read_from(path)] != list(range(1, whole + 2)):
            raise Finding("a writer that goes on does not stand behind the last whole record")
        if list(read_from(path))[-1].end != path.stat().st_size:
            raise Finding("a torn tail was not cut")

    def _closed(self, path: Path) -> None:
        """The agent writes the exit in a dead supervisor's place."""
        append_last(path, EXITED)
        again = FactLog(path)
        again.scan()
        if again.exited is None:
            raise Finding("the exit that the agent wrote can't be read")


def whole_records(data: bytes) -> list[tuple[int, bytes]]:
    """What the contract says of a file, in the plainest way."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while len(data) - at >= HEADER.size:
        length, crc, n = HEADER.unpack_from(data, at)
        raw = data[at + HEADER.size : at + HEADER.size + length]
        sound = length <= MAX_FRAME and len(raw) == length and n == len(found) + 1
        if not sound or zlib.crc32(NUMBER.pack(n) + raw) != crc:
            break
        found.append((n, raw))
        at += HEADER.size + length
    return found
