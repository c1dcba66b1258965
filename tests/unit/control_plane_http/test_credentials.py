"""Keys: their form, and who may use them."""

import hashlib
import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest

from headway_control_plane.application.api_keys import issue_api_key, verify_api_key
from headway_control_plane.application.credentials import CredentialKind, mint, read_credential
from headway_control_plane.application.errors import InvalidRequest, NotAuthenticated

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def entropy():
    seed = itertools.count(1)
    return lambda size: hashlib.shake_256(bytes([next(seed)])).digest(size)


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


class Keys:
    def __init__(self) -> None:
        self.kept = {}

    async def add_api_key(self, key) -> None:
        self.kept[key.id] = key

    async def api_key(self, key_id: str):
        return self.kept.get(key_id)


def test_a_credential_has_the_form_that_scanners_know_and_tells_its_secret_to_nobody() -> None:
    minted = mint(CredentialKind.API_KEY, entropy())
    assert re.fullmatch(r"headway_key_[0-9A-Za-z]{22}_[0-9A-Za-z]{49}", minted.text)
    assert minted.text not in repr(minted)
    presented = read_credential(CredentialKind.API_KEY, minted.text)
    assert presented is not None
    assert presented.id == minted.id
    assert presented.proves(minted.secret_hash)
    assert not presented.proves(hashlib.sha256(b"").digest())


def test_a_typo_anywhere_is_found_without_a_look_up() -> None:
    text = mint(CredentialKind.ENROLMENT_TOKEN, entropy()).text
    assert read_credential(CredentialKind.API_KEY, text) is None
    for place in range(len(text)):
        typo = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
        assert read_credential(CredentialKind.ENROLMENT_TOKEN, typo) is None
    for broken in ("", "headway_enrol_", text[:-1], text + "a", "é" * 90):
        assert read_credential(CredentialKind.ENROLMENT_TOKEN, broken) is None


async def test_a_key_works_until_it_expires() -> None:
    keys, clock = Keys(), Clock()
    issued = await issue_api_key(keys, entropy(), clock, 7, name="ci", lives=timedelta(days=1))
    principal = await verify_api_key(keys, clock, issued.text)
    assert (principal.ws, principal.actor) == (7, f"key/{issued.id}")
    assert issued.text not in repr(issued)
    clock.at += timedelta(days=1)
    with pytest.raises(NotAuthenticated):
        await verify_api_key(keys, clock, issued.text)


@pytest.mark.parametrize("lives", [timedelta(0), timedelta(days=-1), timedelta(days=400)])
async def test_a_key_that_never_lived_or_lives_too_long_is_not_issued(lives: timedelta) -> None:
    with pytest.raises(InvalidRequest):
        await issue_api_key(Keys(), entropy(), Clock(), 1, name="ci", lives=lives)
