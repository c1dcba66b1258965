"""The last look at what flows were answered, and at the sums of their calls."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headway_agent.runner.api import AttemptKey
from headway_api.event.v1 import attempt_pb2
from headway_control_plane.projections.packed_calls import KEY_BYTES
from headway_control_plane.projections.task_fold import CallRow, fold_fact, standing

if TYPE_CHECKING:
    from simulation.checks_families import Families
    from simulation.database import Entry
    from simulation.flows import Flow
    from simulation.host import Host
    from simulation.world import World

_OF_CALLS = {"CallStarted", "CallEnded", "CallsEnded"}


class Told:
    """No answer is lost, made up or heard twice; sums are those of what was executed, whatever was told again."""

    def __init__(
        self,
        world: World,
        hosts: dict[str, Host],
        families: Families,
        facts: dict[AttemptKey, list[Entry]],
    ) -> None:
        self._world = world
        self._hosts = hosts
        self._families = families
        self._facts = facts

    def confirmed(self, answered: list[tuple[UUID, str, Any]]) -> None:
        for run, call, value in answered:
            if value not in self._values(run, call):
                self._world.broke("a confirmed answer is lost", run, call)

    def _values(self, run: UUID, call: str) -> list[Any]:
        said = self._families.told.get((run, bytes.fromhex(call)), ())
        return [json.loads(content) for content in said if content is not None]

    def heard(self, flow: Flow) -> None:
        for one in flow.heard:
            if one.value is not None and one.value not in self._values(UUID(one.key.run), one.call):
                self._world.broke("a flow heard what nobody answered", one)
            for earlier in flow.heard:
                again = (earlier.call, earlier.host, earlier.key.run) == (
                    one.call,
                    one.host,
                    one.key.run,
                )
                known = again and earlier is not one and earlier.kept_at < one.attempt_began
                if (
                    known
                    and earlier.key.fence < one.key.fence
                    and not self._hosts[one.host].power_cuts
                ):
                    self._world.broke("an answer was heard again", one)

    def sums(self, flow: Flow) -> None:
        """What the production fold counts of an attempt is what its flow told, fact by fact the same when told again."""
        for key, told in flow.told.items():
            entries = self._facts.get(key, ())
            host = self._hosts[flow.starts[key.fence]]
            directory = next((d for k, d in host.directories.items() if k == key), None)
            if directory is None or len(entries) < len(directory.frames) or host.power_cuts:
                continue
            counted = _counted([*entries, *entries])
            if counted != told:
                self._world.broke("the sums are not what was executed", key, counted, told)


def _counted(entries: list[Entry]) -> Counter[str]:
    rows: dict[bytes, CallRow] = {}
    at = datetime.fromtimestamp(0, UTC)
    for entry in entries:
        if entry.type in _OF_CALLS:
            fact = getattr(attempt_pb2, entry.type).FromString(entry.payload)
            call = fact.calls[:KEY_BYTES] if entry.type == "CallsEnded" else fact.call
            event: Any = SimpleNamespace(
                cursor=SimpleNamespace(offset=entry.offset), occurred_at=at
            )
            rows[call] = fold_fact(rows.get(call), event, fact)
    counted: Counter[str] = Counter()
    for row in rows.values():
        status, calls = standing(row)
        if status in {"completed", "skipped", "failed"}:
            counted[status] += calls
    return counted
