import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headway_agent.connection.channel import BadAddress, channel_options, parse_target
from headway_agent.connection.errors import (
    RETRY_AFTER_KEY,
    SESSION_KEY,
    TABLE,
    TIME_KEY,
    Failure,
    Reaction,
    failure,
)
from headway_agent.connection.identity import Assertions, Identity, new_key_pair
from headway_agent.loops.assignments import assignment_of
from headway_agent.observability.logs import PlainFormatter
from headway_agent.settings import BadSetting, Options, load, read_token
from headway_api.agent.v1 import agent_service_pb2 as wire


def test_every_status_has_one_reaction() -> None:
    assert set(TABLE) == set(grpc.StatusCode)
    assert all(text for _, text in TABLE.values())


def test_a_refusal_by_a_wrong_clock_is_no_refusal_of_the_agent() -> None:
    code = grpc.StatusCode.UNAUTHENTICATED
    hour = {TIME_KEY: str(3_600_000_000)}
    assert failure(code, "", hour, 0).reaction is Reaction.CLOCK
    assert failure(code, "", hour, 3_600_000_000).reaction is Reaction.REENROL
    assert failure(code, "", {}, 0).reaction is Reaction.REENROL


def test_a_failure_passes_context_managers_as_it_is() -> None:
    """They write its traceback into it."""

    @contextmanager
    def passing() -> Iterator[None]:
        yield

    with pytest.raises(Failure, match="enrol"), passing():
        raise failure(grpc.StatusCode.UNAUTHENTICATED, "revoked", {}, 0)


def test_the_control_plane_paces_and_ends_sessions_by_metadata() -> None:
    metadata = {"x-headway-retry-after-ms": "1500", SESSION_KEY: "over"}
    said = failure(grpc.StatusCode.ABORTED, "why", metadata, 0)
    assert (said.retry_after, said.session_over) == (1.5, True)
    assert "why" in str(said)
    assert (
        failure(grpc.StatusCode.ABORTED, "", {"x-headway-retry-after-ms": "soon"}, 0).retry_after
        is None
    )


@pytest.mark.parametrize(
    ("address", "insecure", "tls", "authority"),
    [
        ("127.0.0.1:7070", False, False, "127.0.0.1:7070"),
        ("localhost:7070", False, False, "localhost:7070"),
        ("http://[::1]:7070", False, False, "[::1]:7070"),
        ("control.example:443", False, True, "control.example:443"),
        ("https://control.example", False, True, "control.example:443"),
        ("https://localhost:7070", False, True, "localhost:7070"),
        ("http://control.example:80", True, False, "control.example:80"),
        ("control.example:80", True, False, "control.example:80"),
    ],
)
def test_addresses(address: str, insecure: bool, tls: bool, authority: str) -> None:
    target = parse_target(address, insecure=insecure)
    assert (target.tls, target.authority) == (tls, authority)


@pytest.mark.parametrize(
    "address",
    ["", "control.example", "http://control.example:80", "ftp://a:1", "a:b", "https://a/b"],
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(BadAddress):
        parse_target(address)


def test_a_private_authority_means_tls_even_here(tmp_path: Path) -> None:
    assert parse_target("127.0.0.1:7070", ca=tmp_path / "ca.pem").tls


def test_no_proxy_on_loopback() -> None:
    proxied = dict(channel_options(parse_target("https://control.example", proxy="http://p:3128")))
    assert (proxied["grpc.enable_http_proxy"], proxied["grpc.http_proxy"]) == (1, "http://p:3128")
    here = dict(channel_options(parse_target("127.0.0.1:1", proxy="http://p:3128")))
    assert here["grpc.enable_http_proxy"] == 0
    assert "grpc.http_proxy" not in here


def test_assertions_follow_the_corrected_clock_and_hide_the_key() -> None:
    private, public = new_key_pair()
    identity = Identity("agent-1", "ws", "pool", "here:1", private, public)
    assert private.hex() not in repr(identity)
    assert str(private) not in repr(identity)
    assertions = Assertions(identity, lambda: 1_000_000_000, lambda: "j")
    assertions.correct(9_000_000_000)
    claims = jwt.decode(
        assertions.make(),
        Ed25519PublicKey.from_public_bytes(public),
        algorithms=["EdDSA"],
        audience="headway-agent",
        options={"verify_exp": False},
    )
    assert claims == {
        "sub": "agent-1",
        "aud": "headway-agent",
        "iat": 9_000,
        "exp": 9_060,
        "jti": "j",
    }


def test_options_beat_the_environment(tmp_path: Path) -> None:
    env = {
        "HEADWAY_HOME": str(tmp_path),
        "HEADWAY_AGENT_SERVER": "a:1",
        "HEADWAY_AGENT_SLOTS": "3",
        "HEADWAY_AGENT_ROOTS": str(tmp_path),
        "HTTPS_PROXY": "http://p:1",
    }
    settings = load(Options(server="b:2"), env)
    assert (settings.server, settings.slots, settings.roots) == ("b:2", 3, (tmp_path,))
    assert settings.state_dir == tmp_path / "agent"
    assert settings.environments == tmp_path / "agent" / "environments.toml"
    assert settings.proxy == "http://p:1"


@pytest.mark.parametrize(
    "env",
    [
        {"HEADWAY_AGENT_SLOTS": "many"},
        {"HEADWAY_AGENT_SLOTS": "0"},
        {"HEADWAY_AGENT_ROOTS": "/nowhere/at/all"},
        {"HEADWAY_LOG_LEVEL": "loud"},
        {"HEADWAY_AGENT_INSECURE": "perhaps"},
    ],
)
def test_settings_that_cannot_be_used_say_so(env: dict[str, str]) -> None:
    with pytest.raises(BadSetting):
        load(Options(), env)


def test_the_token_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert read_token(load(Options(token_file=tmp_path / "token"), {})) == "secret"
    assert read_token(load(Options(), {})) is None
    with pytest.raises(BadSetting, match="--token-file"):
        read_token(load(Options(token_file=tmp_path / "absent"), {}))


def test_a_log_line_is_one_line() -> None:
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter())
    record = logging.makeLogRecord(
        {
            "name": "a.b.loop",
            "levelname": "INFO",
            "msg": "two\nlines",
            "created": 0.0,
            "run": "x y",
            "fence": 2,
        }
    )
    handler.emit(record)
    assert stream.getvalue() == '1970-01-01T00:00:00.000Z INFO loop two\\nlines run="x y" fence=2\n'


@pytest.mark.parametrize("text", ["--7", "9" * 5_000, "1e3", "½", "", "nan"])
def test_metadata_that_is_no_number_says_nothing(text):
    told = failure(grpc.StatusCode.UNAVAILABLE, "", {RETRY_AFTER_KEY: text, TIME_KEY: text}, 0)
    assert (told.retry_after, told.server_time_us) == (None, None)


def test_a_failure_can_be_passed_on():
    """What passes an exception on writes its traceback."""
    told = failure(grpc.StatusCode.UNAVAILABLE, "", {}, 0)
    told.__traceback__ = None
    assert str(told)


def test_a_grant_with_parameters_nested_without_end_is_not_taken():
    assign = wire.Assign(parameters=b"[" * 100_000, attempt=wire.AttemptRef(run=bytes(16), fence=1))
    with pytest.raises(ValueError, match="nested"):
        assignment_of(assign)
