"""Enrol agents: a single-use token for one pool, traded within an hour for an identity bound to the agent's public key."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from headway_control_plane.application.catalogue import Catalogue, require_pool
from headway_control_plane.application.credentials import (
    CredentialKind,
    Credentials,
    EnrolmentToken,
    Entropy,
    mint,
    read_credential,
)
from headway_control_plane.application.errors import NotAuthenticated, Problem
from headway_control_plane.application.ports import Log, Unavailable, Workspace
from headway_control_plane.application.words import require_none, text_problems
from headway_control_plane.clock import Clock
from headway_control_plane.domain.commands import EnrolAgent
from headway_control_plane.domain.errors import Refused
from headway_control_plane.ids import IdSource

TOKEN_LIFE = timedelta(hours=1)
PUBLIC_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`text` is the token itself, shown this once."""

    text: str
    pool: UUID
    pool_name: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"IssuedToken(pool={self.pool_name!r}, text=***)"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The identity that an agent got."""

    agent: UUID
    workspace: Workspace
    pool: UUID


async def issue_enrolment_token(
    credentials: Credentials,
    catalogue: Catalogue,
    entropy: Entropy,
    clock: Clock,
    ws: int,
    *,
    pool: str,
) -> IssuedToken:
    """Make a token for one agent of one pool."""
    found = await require_pool(catalogue, ws, pool)
    minted = mint(CredentialKind.ENROLMENT_TOKEN, entropy)
    now = clock.now()
    token = EnrolmentToken(
        minted.id, ws, minted.secret_hash, found.pool, created_at=now, expires_at=now + TOKEN_LIFE
    )
    await credentials.add_enrolment_token(token)
    return IssuedToken(minted.text, found.pool, found.name, token.expires_at)


async def enrol_agent(
    log: Log,
    credentials: Credentials,
    ids: IdSource,
    clock: Clock,
    *,
    token: str,
    name: str,
    public_key: bytes,
) -> Enrolled:
    """Trade a token for an identity. The token is spent first, and given back when the enrolment is refused.

    An agent that did not get its answer may ask again with the same key, and gets the same identity.
    """
    require_none([*text_problems("name", name), *_key_problems(public_key)])
    presented = read_credential(CredentialKind.ENROLMENT_TOKEN, token)
    stored = await credentials.enrolment_token(presented.id) if presented else None
    if stored is None or presented is None or not presented.proves(stored.secret_hash):
        raise _refusal()
    workspace = await credentials.workspace(stored.ws)
    if workspace is None or clock.now() >= stored.expires_at:
        raise _refusal()
    agent, actor = ids(), f"enrolment/{stored.id}"
    if not await credentials.claim_enrolment_token(stored.id, agent, clock.now()):
        agent = await _who_spent(credentials, stored.id)
        try:
            await log.execute(
                stored.ws, EnrolAgent(agent, name, stored.pool, public_key), actor=actor
            )
        except Refused as other_key:
            raise _refusal() from other_key
        return Enrolled(agent, workspace, stored.pool)
    try:
        await log.execute(stored.ws, EnrolAgent(agent, name, stored.pool, public_key), actor=actor)
    except (Refused, Unavailable):
        await credentials.return_enrolment_token(stored.id, agent)
        raise
    return Enrolled(agent, workspace, stored.pool)


async def _who_spent(credentials: Credentials, token: str) -> UUID:
    """The agent that a spent token went to: the one that asks, if it holds that agent's key. The decider compares."""
    spent = await credentials.enrolment_token(token)
    if spent is None or spent.agent is None:
        raise _refusal()
    return spent.agent


def _refusal() -> NotAuthenticated:
    return NotAuthenticated(
        "The enrolment token is unknown, mistyped, expired or already used.",
        hint="Get a new one: headway agents token POOL",
    )


def _key_problems(public_key: bytes) -> list[Problem]:
    if len(public_key) == PUBLIC_KEY_BYTES:
        return []
    return [Problem("public_key", f"must be an Ed25519 public key of {PUBLIC_KEY_BYTES} bytes")]
