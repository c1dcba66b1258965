"""What agents report, on its way into the log: facts and output, each answered only after the commit that holds it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from opentelemetry import metrics

from headway_api.agent.v1 import agent_service_pb2 as pb
from headway_control_plane.application.ports import (
    AttemptFacts,
    AttemptVerdict,
    FactsBatch,
    FactsVerdict,
    Log,
    Unavailable,
)
from headway_control_plane.grpc_api.auth import AgentIdentity
from headway_control_plane.grpc_api.ledger import Ledger
from headway_control_plane.grpc_api.wire import Facts, Lines, ack, attempt_ref

_meter = metrics.get_meter("headway.agents")
_facts_received = _meter.create_counter(
    "headway.agents.facts", unit="{fact}", description="Facts received, by verdict on their attempt"
)
_lines_received = _meter.create_counter(
    "headway.agents.lines", unit="{line}", description="Lines of output received"
)
_batch_size = _meter.create_histogram(
    "headway.agents.batch_size", unit="{fact}", description="Facts in one batch of an agent"
)


class Intake:
    """Stateless but for the log. An agent may report on attempts that it was given or named itself, and on no other's."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def facts(
        self, identity: AgentIdentity, ledger: Ledger, facts: Facts
    ) -> pb.SessionResponse:
        """Append what can be appended; return the Ack."""
        ours = [item for item in facts.attempts if (item.run, item.fence) in ledger.known]
        verdicts = {
            (item.run, item.fence): AttemptVerdict(
                item.run, item.fence, FactsVerdict.UNKNOWN, 0, "not an attempt of this agent"
            )
            for item in facts.attempts
        }
        witness = None
        if ours:
            try:
                result = await self._log.append_facts(identity.ws, FactsBatch(ours, identity.actor))
            except Unavailable as outage:
                verdicts |= {(i.run, i.fence): _retry(i, outage) for i in ours}
            else:
                witness = result.witness
                verdicts |= {(v.run, v.fence): v for v in result.attempts}
        _count(facts, verdicts.values())
        return ack(facts.id, verdicts.values(), witness)

    async def lines(
        self, identity: AgentIdentity, ledger: Ledger, lines: Lines
    ) -> pb.SessionResponse:
        """Store lines of output; return the LogAck. Lines of somebody else's attempt are not stored."""
        last_line = 0
        if lines.attempt in ledger.known:
            _lines_received.add(lines.lines)
            last_line = await self._log.append_lines(
                identity.ws, *lines.attempt, lines.first_line, lines.lines, lines.content
            )
        answer = pb.LogAck(attempt=attempt_ref(lines.attempt), last_line=last_line)
        return pb.SessionResponse(log_ack=answer)


def _retry(facts: AttemptFacts, outage: Unavailable) -> AttemptVerdict:
    return AttemptVerdict(
        facts.run,
        facts.fence,
        FactsVerdict.RETRY,
        0,
        str(outage),
        max(outage.retry_after, timedelta(milliseconds=1)),
    )


def _count(facts: Facts, verdicts: Iterable[AttemptVerdict]) -> None:
    sizes = {(item.run, item.fence): len(item.facts) for item in facts.attempts}
    _batch_size.record(facts.count)
    for verdict in verdicts:
        size = sizes[verdict.run, verdict.fence]
        _facts_received.add(size, {"verdict": verdict.verdict.value})
