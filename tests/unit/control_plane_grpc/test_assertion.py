"""Assertions: what they must say, and what they must not get away with."""

import time
from base64 import urlsafe_b64encode
from uuid import uuid4

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_control_plane.grpc_api.assertion import (
    BadAssertion,
    Claims,
    ReplayGuard,
    bearer,
    claimed_agent,
    verify,
)
from support.fake_agent import Identity

ME = Identity.new()
NOW = time.time()


def test_what_was_signed_is_believed() -> None:
    token = ME.assertion(now=NOW, jti="one")
    assert claimed_agent(token) == ME.agent
    claims = verify(token, ME.public_key, NOW)
    assert (claims.agent, claims.jti) == (ME.agent, "one")


@pytest.mark.parametrize("skew", [-4, 0, 4, 59, 64])
def test_small_differences_of_clocks_are_nobodys_fault(skew: float) -> None:
    verify(ME.assertion(now=NOW), ME.public_key, NOW + skew)


@pytest.mark.parametrize("skew", [-3600, -7, 66, 3600])
def test_larger_differences_are_told(skew: float) -> None:
    with pytest.raises(BadAssertion, match="x-headway-time-us"):
        verify(ME.assertion(now=NOW), ME.public_key, NOW + skew)


@pytest.mark.parametrize("missing", ["sub", "aud", "iat", "exp", "jti"])
def test_every_claim_is_needed(missing: str) -> None:
    claims = jwt.decode(ME.assertion(now=NOW), options={"verify_signature": False})
    del claims[missing]
    token = jwt.encode(claims, ME.key, algorithm="EdDSA")
    with pytest.raises(BadAssertion):
        verify(token, ME.public_key, NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": "now"},
        {"exp": None},
        {"iat": True},
        {"iat": 10**400},
        {"exp": float("inf")},
        {"jti": ""},
        {"jti": "x" * 1000},
        {"jti": 5},
        {"aud": ["other"]},
        {"sub": 5},
    ],
)
def test_claims_of_the_wrong_kind_are_refused(claims: dict) -> None:
    with pytest.raises(BadAssertion):
        verify(ME.assertion(now=NOW, **claims), ME.public_key, NOW)


def test_claims_nested_without_end_are_no_assertion() -> None:
    nested = urlsafe_b64encode(b'{"sub":' + b"[" * 1200).decode().rstrip("=")
    header = ME.assertion(now=NOW).partition(".")[0]
    with pytest.raises(BadAssertion):
        claimed_agent(f"{header}.{nested}.")


def test_no_other_algorithm_is_accepted() -> None:
    claims = jwt.decode(ME.assertion(now=NOW), options={"verify_signature": False})
    for token in (
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode(claims, "secret" * 10, algorithm="HS256"),
        Identity.new(ME.agent).assertion(now=NOW),
    ):
        with pytest.raises(BadAssertion):
            verify(token, ME.public_key, NOW)


@settings(deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=300) | st.none())
def test_any_metadata_is_taken_apart_or_refused(value: object) -> None:
    try:
        token = bearer(value)  # type: ignore[arg-type]
        claimed_agent(token)
    except BadAssertion:
        return
    raise AssertionError("nothing made up names an agent")


@settings(deadline=None)
@given(
    st.text(
        alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", max_size=300
    )
)
def test_any_token_is_taken_apart_or_refused(token: str) -> None:
    with pytest.raises(BadAssertion):
        claimed_agent(token)
    with pytest.raises(BadAssertion):
        verify(token, ME.public_key, NOW)


def test_a_replay_is_refused_for_as_long_as_the_assertion_holds() -> None:
    guard = ReplayGuard()
    claims = Claims(uuid4(), "one", expires_at=60.0)
    guard.admit(claims, 0.0)
    with pytest.raises(BadAssertion):
        guard.admit(claims, 59.0)
    guard.admit(Claims(claims.agent, "two", 60.0), 59.0)
    guard.admit(Claims(uuid4(), "one", 60.0), 59.0)


def test_what_has_expired_is_not_kept() -> None:
    guard = ReplayGuard()
    for number in range(1000):
        guard.admit(Claims(ME.agent, str(number), number + 60.0), float(number))
    assert len(guard._seen) <= 130
