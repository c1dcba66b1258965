"""Who the agent is: read from agent.db, or got for a token."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from headway_agent.clock import SystemClock
from headway_agent.connection.channel import BadAddress, Target, parse_target
from headway_agent.connection.enrol import enrol
from headway_agent.connection.errors import Failure
from headway_agent.connection.identity import Identity
from headway_agent.main.wiring import keep_identity, load_identity
from headway_agent.observability import logs
from headway_agent.runner.state_dir import StateDir, StateDirBusy
from headway_agent.settings import BadSetting, Settings, read_token
from headway_agent.spool import records
from headway_agent.spool.agent_db import AgentDb, SpoolFault

log = logging.getLogger(__name__)

# An agent that is started before its control plane waits for it; a person at a terminal wants to know soon.
PATIENCE_OF_START_S, PATIENCE_OF_ENROL_S = 600.0, 10.0


class NotEnrolled(Exception):
    """There is no identity and no token; the message says where to get one."""


def target_of(settings: Settings, identity: Identity | None) -> Target:
    """Where the control plane is: what the operator says, else where the agent was enrolled."""
    address = settings.server or (identity.endpoint if identity else "")
    if not address:
        raise BadSetting(
            "No control plane named: pass --server HOST:PORT or set HEADWAY_AGENT_SERVER."
        )
    return parse_target(address, insecure=settings.insecure, ca=settings.ca, proxy=settings.proxy)


async def enrol_agent(
    db: AgentDb,
    settings: Settings,
    token: str,
    now_us: Callable[[], int],
    *,
    patience_s: float,
) -> Identity:
    """Trades the token for an identity and keeps it, in place of an earlier one."""
    identity = await enrol(target_of(settings, None), token, settings.name, patience_s=patience_s)
    if settings.pool and identity.pool != settings.pool:
        raise BadSetting(
            f"The token enrols into the pool {identity.pool!r}, not {settings.pool!r}: get one for that pool, or change --pool."
        )
    await keep_identity(db, identity, now_us())
    log.info("enrolled", extra={"agent": identity.agent_id, "pool": identity.pool})
    return identity


async def identity_of(db: AgentDb, settings: Settings, now_us: Callable[[], int]) -> Identity:
    """The identity in agent.db, or a new one where a token is at hand."""
    identity = await load_identity(db)
    if identity is not None:
        if settings.pool and identity.pool != settings.pool:
            raise BadSetting(
                f"This agent is enrolled in the pool {identity.pool!r}, not {settings.pool!r}: name another --state-dir, "
                "or enrol it anew with `headway agent enrol --force`."
            )
        return await _at_its_server(db, settings, identity)
    token = read_token(settings)
    if not token:
        raise NotEnrolled(
            "This agent is not enrolled: get a token with `headway agents token POOL`, then run "
            "`headway agent enrol --server HOST:PORT --token-file FILE`."
        )
    return await enrol_agent(db, settings, token, now_us, patience_s=PATIENCE_OF_START_S)


async def _at_its_server(db: AgentDb, settings: Settings, identity: Identity) -> Identity:
    """A control plane that has moved is looked for where the operator said last, also by `doctor` and the next start."""
    address = target_of(settings, identity).authority
    if address == identity.endpoint:
        return identity
    await db.run(records.move_identity(address))
    return replace(identity, endpoint=address)


def run(settings: Settings, *, force: bool) -> int:
    """`headway agent enrol`; gives the exit code of the process."""
    logs.configure(settings.log_level)
    try:
        with (
            contextlib.closing(StateDir(settings.state_dir)) as state_dir,
            contextlib.closing(AgentDb.open(state_dir.database)) as db,
        ):
            asyncio.run(_enrol_once(db, settings, force=force))
    except (BadSetting, BadAddress, NotEnrolled, StateDirBusy, SpoolFault, Failure) as error:
        log.critical("%s", error)
        return 1
    return 0


async def _enrol_once(db: AgentDb, settings: Settings, *, force: bool) -> None:
    present = await load_identity(db)
    if present is not None and not force:
        raise NotEnrolled(
            f"This agent is enrolled already, in the pool {present.pool!r}: pass --force to take a new identity."
        )
    token = read_token(settings)
    if not token:
        raise NotEnrolled(
            "No token: pass --token-file FILE (or - for standard input) or --token-fd N."
        )
    await enrol_agent(db, settings, token, SystemClock().now_us, patience_s=PATIENCE_OF_ENROL_S)
