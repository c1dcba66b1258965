"""Sends lines of output, where the pool permits it: after facts, in what is left of the window."""

import json
import logging
from collections.abc import Sequence

import zstandard

from headway_agent.connection import messages
from headway_agent.core import lines, resume
from headway_agent.core.lines import Want
from headway_agent.loops.hub import Hub
from headway_agent.loops.waiting import wait_for
from headway_agent.runner.api import AttemptKey, Line

log = logging.getLogger(__name__)

PAUSE_S = 0.1
"""Between two rounds, so that a slow trickle of lines is not a batch a line."""
UNSENT_PAUSE_S = 1.0
"""After which lines are tried again that could not be read, or did not fit: nothing else may ever wake us."""
MOST_LINES = 10_000
"""Lines that one batch may cover."""


class LogLoop:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._compressor = zstandard.ZstdCompressor()

    async def run(self) -> None:
        hub = self._hub
        while True:
            hub.lines_wake.clear()
            sent = False
            wants = lines.plan(hub.lines)
            for want in wants:
                if self._facts_wait():
                    break
                try:
                    sent = await self._send(want) or sent
                except OSError as error:
                    log.warning("output can't be read: %s", error, extra={"run": want.attempt[0]})
            if sent:
                # Whatever wakes us meanwhile is seen after the pause.
                await wait_for(hub.ended, PAUSE_S)
            else:
                await wait_for(hub.lines_wake, UNSENT_PAUSE_S if wants else None)

    def _facts_wait(self) -> bool:
        now = self._hub.clock.boottime()
        return any(
            p.durable > p.sent and now >= p.not_before
            for p in self._hub.reporting.positions.values()
        )

    async def _send(self, want: Want) -> bool:
        hub = self._hub
        read = await hub.attempts.lines(AttemptKey(*want.attempt), max(want.after, want.skip_to))
        content, last = contiguous(read, want.after)
        if last == want.after:
            return False
        message = messages.log_batch(
            want.attempt, want.after + 1, last - want.after, self._compressor.compress(content)
        )
        size = message.ByteSize()
        position = hub.lines.positions.get(want.attempt)
        moved = position is None or position.flying or position.acked != want.after
        if moved or not hub.lines.open or not self._fits(size):
            return False
        hub.tell_lines(lines.Sent(want.attempt, last, size))
        hub.outbox.put(message)
        return True

    def _fits(self, size: int) -> bool:
        """Facts always find room: lines take a quarter of the window, or one batch when nothing else is out."""
        window = self._hub.reporting.credit_bytes
        flying = lines.bytes_in_flight(self._hub.lines)
        taken = flying + resume.bytes_in_flight(self._hub.reporting)
        return not taken or (taken + size <= window and flying + size <= window // 4)


def contiguous(read: Sequence[Line], after: int) -> tuple[bytes, int]:
    """JSON lines for the numbers after `after`, and the last number that they cover. Where some are missing a marker
    stands for them; a batch covers a limited range, the rest follows.
    """
    out: list[bytes] = []
    limit = after + MOST_LINES
    for line in read:
        if line.number > after + 1:
            last = min(line.number - 1, limit)
            out.append(marker(after + 1, last))
            after = last
        if line.number > limit:
            break
        out.append(line.content)
        after = line.number
    return b"".join(content + b"\n" for content in out), after


def marker(first: int, last: int) -> bytes:
    count = last - first + 1
    gap = {
        "line": first,
        "at_us": 0,
        "source": "headway",
        "level": "WARNING",
        "call": "",
        "text": f"[{count} lines are missing here: they were dropped before they could be sent]",
        "gap": {"from": first, "to": last, "count": count},
    }
    return json.dumps(gap, separators=(",", ":")).encode()
