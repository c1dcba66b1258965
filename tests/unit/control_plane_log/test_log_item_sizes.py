"""What waits is bounded in bytes, so every item counts what it really carries."""

import asyncio
import hashlib
import os
from uuid import UUID

from headway_control_plane.application.ports import AttemptFacts
from headway_control_plane.domain.commands import CancelRun, Command, CreateRun, Deploy
from headway_control_plane.domain.deployment.events import DeploymentDeployed
from headway_control_plane.domain.run.events import OnLost
from headway_control_plane.domain.streams import NO_BLOB, Blob
from headway_control_plane.log.event_ids import EventIds
from headway_control_plane.log.facts import prepare
from headway_control_plane.log.items import CommandItem, FactsItem
from support.log_fixtures import calls

ID = UUID(int=1)
LARGE = Blob.of(b"x" * 200_000)


async def size_of(command: Command) -> int:
    future = asyncio.get_running_loop().create_future()
    return CommandItem(1, future, command, "test", None, "", None).size_bytes


async def test_a_command_counts_its_parameters_and_schemas():
    spec = DeploymentDeployed(
        name="d", flow="f", pool=ID, environment="", entrypoint="", code_hash="", parameter_schema=LARGE,
        defaults=LARGE, description="", tags=(), retries=0, retry_delay_ms=0, on_lost=OnLost.RETRY,
        cancel_grace_ms=0, kill_grace_ms=0,
    )  # fmt: skip
    small = await size_of(CancelRun(ID))
    assert await size_of(CreateRun(ID, ID, 1, LARGE, NO_BLOB)) == small + 200_000
    assert await size_of(Deploy(ID, spec)) == small + 400_000


async def test_facts_count_the_contents_that_came_with_them():
    ids = EventIds(lambda: 1, os.urandom)
    content = b"y" * 100_000
    blobs = [Blob(hashlib.sha256(content).digest(), content)]
    bare = prepare(AttemptFacts(ID, 1, 1, calls(1, 2), []), ids)
    laden = prepare(AttemptFacts(ID, 1, 1, calls(1, 2), blobs), ids)
    future = asyncio.get_running_loop().create_future()
    assert FactsItem(1, future, [laden], "test", "").size_bytes == bare.size_bytes + 100_000
