"""The form of credentials, `headway_<kind>_<id>_<secret><checksum>` with its parts in base 62, and their store.

The prefix lets secret scanners find a leaked one, the checksum refuses a typo before any look-up, and underscores let a
double click select the whole. Only the id and the SHA-256 of the secret are stored: 256 random bits need no slow hash.
"""

import hashlib
import hmac
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from headway_control_plane.application.ports import Workspace

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_BYTES, _ID_LENGTH = 16, 22
_SECRET_BYTES, _SECRET_LENGTH = 32, 43
_CHECKSUM_LENGTH = 6

Entropy = Callable[[int], bytes]


class CredentialKind(StrEnum):
    API_KEY = "key"
    ENROLMENT_TOKEN = "enrol"  # noqa: S105 - a word in a prefix, no secret


@dataclass(frozen=True, slots=True)
class Minted:
    """A new credential. `text` is shown once and never stored."""

    text: str
    id: str
    secret_hash: bytes

    def __repr__(self) -> str:
        return f"Minted(id={self.id!r}, text=***)"


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential that somebody showed, well formed and not yet proven."""

    id: str
    secret_hash: bytes

    def proves(self, stored_hash: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.secret_hash, stored_hash)


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    ws: int
    secret_hash: bytes
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """Traded once for an agent's identity. `agent` is who used it."""

    id: str
    ws: int
    secret_hash: bytes
    pool: UUID
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    agent: UUID | None = None


class Credentials(Protocol):
    """The store of credentials. Look-ups are by id over all workspaces: a credential says which workspace it is of."""

    async def workspace(self, ws: int) -> Workspace | None: ...

    async def add_api_key(self, key: ApiKey) -> None: ...

    async def api_key(self, key_id: str) -> ApiKey | None: ...

    async def api_keys(self, ws: int) -> list[ApiKey]: ...

    async def revoke_api_key(self, ws: int, key_id: str, now: datetime) -> bool:
        """Return False when the workspace has no such key; revoking twice keeps the first instant."""
        ...

    async def add_enrolment_token(self, token: EnrolmentToken) -> None: ...

    async def enrolment_token(self, token_id: str) -> EnrolmentToken | None: ...

    async def claim_enrolment_token(self, token_id: str, agent: UUID, now: datetime) -> bool:
        """Mark it used by this agent; False when it was used before."""
        ...

    async def return_enrolment_token(self, token_id: str, agent: UUID) -> None:
        """Undo the claim of an agent whose enrolment did not take place."""
        ...


def mint(kind: CredentialKind, entropy: Entropy) -> Minted:
    """Make a new credential of a kind."""
    key_id = _base62(entropy(_ID_BYTES), _ID_LENGTH)
    secret = _base62(entropy(_SECRET_BYTES), _SECRET_LENGTH)
    body = f"headway_{kind}_{key_id}_{secret}"
    return Minted(body + _checksum(body), key_id, _hash(secret))


def read_credential(kind: CredentialKind, text: str) -> Presented | None:
    """Take a credential apart; None when its form or checksum is wrong."""
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    prefix = f"headway_{kind}_"
    key_id, _, secret = body.removeprefix(prefix).partition("_")
    well_formed = (
        text.isascii()
        and body.startswith(prefix)
        and len(key_id) == _ID_LENGTH
        and len(secret) == _SECRET_LENGTH
        and hmac.compare_digest(checksum, _checksum(body))
    )
    return Presented(key_id, _hash(secret)) if well_formed else None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()).to_bytes(4), _CHECKSUM_LENGTH)


def _base62(raw: bytes, length: int) -> str:
    number = int.from_bytes(raw)
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
