"""Adapters between parts that must not know each other."""

from collections.abc import Callable

from headway_agent.connection.identity import Identity
from headway_agent.connection.messages import Witness
from headway_agent.spool import records
from headway_agent.spool.agent_db import AgentDb

TRIM_EVERY = 256
"""Witnesses kept between two looks for those that are too many."""


async def load_identity(db: AgentDb) -> Identity | None:
    row = await db.run(records.identity)
    return identity_from(row) if row else None


def identity_from(row: records.Identity) -> Identity:
    return Identity(
        row.agent_id, row.workspace_id, row.pool, row.endpoint, row.private_key, row.public_key
    )


async def keep_identity(db: AgentDb, identity: Identity, now_us: int) -> None:
    row = records.Identity(
        identity.agent_id,
        identity.workspace_id,
        identity.pool,
        identity.endpoint,
        identity.private_key,
        identity.public_key,
        now_us,
    )
    await db.run(records.keep_identity(row))


class DbWitnesses:
    """What acknowledgements said of the log, in agent.db."""

    def __init__(self, db: AgentDb, now_us: Callable[[], int]) -> None:
        self._db = db
        self._now_us = now_us
        self._kept = 0

    async def keep(self, witness: Witness) -> None:
        seen = records.Witnessed(witness.epoch, witness.offset, witness.chain)
        change = records.witness(seen, now_us=self._now_us())
        if self._kept % TRIM_EVERY == 0:
            change = records.together(change, records.trim_witnesses)
        self._kept += 1
        await self._db.run(change, hurry=False)

    async def last(self) -> Witness | None:
        seen = await self._db.run(records.last_witness)
        return Witness(*seen) if seen else None
