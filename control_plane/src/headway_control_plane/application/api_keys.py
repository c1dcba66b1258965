"""Issue, verify and revoke API keys. A key is of one workspace."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from headway_control_plane.application.credentials import (
    ApiKey,
    CredentialKind,
    Credentials,
    Entropy,
    mint,
    read_credential,
)
from headway_control_plane.application.errors import Missing, NotAuthenticated, Problem
from headway_control_plane.application.words import require_none, text_problems
from headway_control_plane.clock import Clock

LONGEST_LIFE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """`text` is the key itself, shown this once."""

    id: str
    text: str
    name: str
    expires_at: datetime | None

    def __repr__(self) -> str:
        return f"IssuedKey(id={self.id!r}, name={self.name!r}, text=***)"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the workspace that the credential is of, and the actor that the log will name."""

    ws: int
    key_id: str
    name: str

    @property
    def actor(self) -> str:
        return f"key/{self.key_id}"


async def issue_api_key(
    credentials: Credentials,
    entropy: Entropy,
    clock: Clock,
    ws: int,
    *,
    name: str,
    lives: timedelta | None = LONGEST_LIFE,
) -> IssuedKey:
    """Make a key. Only the key of a machine's own `headway up` lives for ever (`lives` None)."""
    require_none([*text_problems("name", name), *_life_problems(lives)])
    minted = mint(CredentialKind.API_KEY, entropy)
    now = clock.now()
    expires_at = now + lives if lives else None
    await credentials.add_api_key(
        ApiKey(minted.id, ws, minted.secret_hash, name, created_at=now, expires_at=expires_at)
    )
    return IssuedKey(minted.id, minted.text, name, expires_at)


async def verify_api_key(credentials: Credentials, clock: Clock, text: str) -> Principal:
    """Return whom the key stands for. All failures look the same to the caller."""
    presented = read_credential(CredentialKind.API_KEY, text)
    key = await credentials.api_key(presented.id) if presented else None
    if key is None or presented is None or not presented.proves(key.secret_hash):
        raise _refusal()
    if not key.is_live(clock.now()):
        raise _refusal()
    return Principal(key.ws, key.id, key.name)


async def revoke_api_key(credentials: Credentials, clock: Clock, ws: int, key_id: str) -> None:
    """End a key at once."""
    if not await credentials.revoke_api_key(ws, key_id, clock.now()):
        raise Missing(
            "There is no such API key in this workspace.",
            hint="List them with: GET /api/v1/api-keys",
        )


def _refusal() -> NotAuthenticated:
    return NotAuthenticated(
        "The API key is unknown, mistyped, expired or revoked.",
        hint="Log in again: headway login, or set HEADWAY_API_KEY to a live key.",
    )


def _life_problems(lives: timedelta | None) -> list[Problem]:
    if lives is None or timedelta(0) < lives <= LONGEST_LIFE:
        return []
    return [Problem("expires_in_days", f"must be 1 to {LONGEST_LIFE.days}")]
