"""Sends lines of output, where the pool permits it: after facts, in what is left of the window."""

import json

import zstandard

from headway_agent.connection import messages
from headway_agent.core import lines, resume
from headway_agent.core.lines import Want
from headway_agent.loops.hub import Hub
from headway_agent.loops.waiting import wait_for
from headway_agent.runner.api import AttemptKey, Line

PAUSE_S = 0.1
"""Between two rounds, so that a slow trickle of lines is not a batch a line."""


class LogLoop:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._compressor = zstandard.ZstdCompressor()

    async def run(self) -> None:
        hub = self._hub
        while True:
            hub.lines_wake.clear()
            sent = False
            for want in lines.plan(hub.lines):
                if self._facts_wait():
                    break
                sent = await self._send(want) or sent
            if sent:
                # Whatever wakes us meanwhile is seen after the pause.
                await wait_for(hub.ended, PAUSE_S)
            else:
                await wait_for(hub.lines_wake, None)

    def _facts_wait(self) -> bool:
        now = self._hub.clock.boottime()
        return any(
            p.durable > p.sent and now >= p.not_before
            for p in self._hub.reporting.positions.values()
        )

    async def _send(self, want: Want) -> bool:
        hub = self._hub
        after = max(want.after, want.skip_to)
        read = await hub.attempts.lines(AttemptKey(*want.attempt), after)
        if not read:
            return False
        content = self._compressor.compress(contiguous(read, want.after))
        taken = lines.bytes_in_flight(hub.lines) + resume.bytes_in_flight(hub.reporting)
        window = hub.reporting.credit_bytes
        last = read[-1].number
        message = messages.log_batch(want.attempt, want.after + 1, last - want.after, content)
        size = message.ByteSize()
        # Facts always find room: lines take a quarter of the window, or one batch when nothing else is out.
        if taken and (
            taken + size > window or lines.bytes_in_flight(hub.lines) + size > window // 4
        ):
            return False
        position = hub.lines.positions.get(want.attempt)
        if (
            not hub.lines.open
            or position is None
            or position.flying
            or position.acked != want.after
        ):
            return False
        hub.tell_lines(lines.Sent(want.attempt, last, size))
        hub.outbox.put(message)
        return True


def contiguous(read: list[Line], after: int) -> bytes:
    """JSON lines for the numbers after `after`: where some are missing a marker stands for them."""
    out: list[bytes] = []
    expected = after + 1
    for line in read:
        if line.number > expected:
            out.append(marker(expected, line.number - 1))
        out.append(line.content)
        expected = line.number + 1
    return b"\n".join(out) + b"\n"


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
