"""The signed assertion that opens each call: what it must say, judged without I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

AUDIENCE = "headway-agent"
VALIDITY_SECONDS = 60
LEEWAY_SECONDS = 5  # clocks of two machines that are both kept by NTP
_SCHEME = "Bearer "
_REQUIRED = ("sub", "aud", "iat", "exp", "jti")
_LONGEST_JTI = 200
_LONGEST_ASSERTION = 4096


class BadAssertion(Exception):
    """The assertion is refused. The message goes to the agent, so it says what to do and nothing about other agents."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an assertion says, after its signature was seen to be right."""

    agent: UUID
    jti: str
    expires_at: float


def bearer(authorization: str | bytes | None) -> str:
    """Return the token of an `authorization` value."""
    if not isinstance(authorization, str) or not authorization.startswith(_SCHEME):
        raise BadAssertion(
            "The call carries no `authorization: Bearer` metadata; sign an assertion with the agent's key."
        )
    token = authorization[len(_SCHEME) :]
    if len(token) > _LONGEST_ASSERTION:
        raise BadAssertion("The assertion is longer than any that an agent signs.")
    return token


def claimed_agent(token: str) -> UUID:
    """Return who the assertion says it is from, unproven: it only tells which key to prove it with."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return UUID(str(claims["sub"]))
    except (jwt.InvalidTokenError, KeyError, ValueError, RecursionError) as problem:
        raise BadAssertion("The assertion is no JWT that names an agent in `sub`.") from problem


def verify(token: str, public_key: bytes, now: float) -> Claims:
    """Check signature, audience and times against `now` (seconds since the epoch)."""
    claims = _signed_claims(token, public_key)
    issued, expires = _instant(claims["iat"]), _instant(claims["exp"])
    if expires - issued > VALIDITY_SECONDS:
        raise BadAssertion(
            f"The assertion is valid for more than {VALIDITY_SECONDS} s; sign a fresh one for each call."
        )
    if issued > now + LEEWAY_SECONDS:
        raise BadAssertion(
            "The assertion was issued in the future; correct the clock by x-headway-time-us and sign anew."
        )
    if expires + LEEWAY_SECONDS <= now:
        raise BadAssertion(
            "The assertion has expired; correct the clock by x-headway-time-us and sign anew."
        )
    jti = claims["jti"]
    if not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_JTI:
        raise BadAssertion(
            f"`jti` must be a text of at most {_LONGEST_JTI} characters, new for each assertion."
        )
    return Claims(UUID(str(claims["sub"])), jti, expires + LEEWAY_SECONDS)


def _signed_claims(token: str, public_key: bytes) -> Mapping[str, Any]:
    try:
        return jwt.decode(
            token,
            Ed25519PublicKey.from_public_bytes(public_key),
            algorithms=["EdDSA"],
            audience=AUDIENCE,
            # Times are judged by the clock that was handed in, not by the library's.
            options={
                "require": list(_REQUIRED),
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidTokenError as problem:
        raise BadAssertion(
            f"The assertion is refused: {problem}. Sign it with the key that was enrolled."
        ) from problem


def _instant(value: object) -> float:
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass  # an integer beyond every float, and so beyond every calendar
    raise BadAssertion("`iat` and `exp` must be numbers of seconds since 1970.")


class ReplayGuard:
    """Remembers each accepted assertion until it expires, so that an overheard one is worth nothing here."""

    def __init__(self) -> None:
        self._seen: dict[tuple[UUID, str], float] = {}
        self._sweep_at = -math.inf

    def admit(self, claims: Claims, now: float) -> None:
        """Raise BadAssertion when this assertion was used before."""
        if now >= self._sweep_at:
            self._seen = {key: until for key, until in self._seen.items() if until > now}
            self._sweep_at = now + VALIDITY_SECONDS
        key = (claims.agent, claims.jti)
        if self._seen.get(key, -math.inf) > now:
            raise BadAssertion(
                "The assertion was used before; sign a fresh one, with a new `jti`, for each call."
            )
        self._seen[key] = claims.expires_at
