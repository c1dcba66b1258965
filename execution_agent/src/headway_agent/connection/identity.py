"""Who the agent is: a key pair made at enrolment, and the short-lived assertions signed with it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

AUDIENCE = "headway-agent"
LIFETIME_S = 60


@dataclass(frozen=True, slots=True)
class Identity:
    """What enrolment gave. Keys are raw Ed25519 keys; the private one never leaves the state directory."""

    agent_id: str
    workspace_id: str
    pool: str
    endpoint: str
    private_key: bytes = field(repr=False)
    public_key: bytes


def new_key_pair() -> tuple[bytes, bytes]:
    """A private and its public key."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Assertions:
    """Makes the bearer assertion of each call. Knows by how much this machine's clock is wrong."""

    def __init__(
        self, identity: Identity, now_us: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        self._agent_id = identity.agent_id
        self._key = Ed25519PrivateKey.from_private_bytes(identity.private_key)
        self._now_us = now_us
        self._new_id = new_id
        self._correction_us = 0

    def now_us(self) -> int:
        """The time as the control plane sees it, as far as we know."""
        return self._now_us() + self._correction_us

    def correct(self, server_time_us: int) -> None:
        """Takes the control plane's clock for assertions. Records keep this machine's."""
        self._correction_us = server_time_us - self._now_us()

    def make(self) -> str:
        issued = self.now_us() // 1_000_000
        claims = {
            "sub": self._agent_id,
            "aud": AUDIENCE,
            "iat": issued,
            "exp": issued + LIFETIME_S,
            "jti": self._new_id(),
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA")

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.make()}"),)
