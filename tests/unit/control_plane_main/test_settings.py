from pathlib import Path

import pytest

from headway_control_plane.settings import (
    BadSetting,
    Settings,
    is_loopback,
    meanings,
    variable_name,
)


def test_the_defaults_are_the_design() -> None:
    settings = Settings.read({})

    assert (settings.http_url, settings.grpc_url) == (
        "http://127.0.0.1:4200",
        "http://127.0.0.1:4201",
    )
    assert (settings.renew_interval, settings.lease_ttl, settings.reassign_after) == (10, 30, 90)
    assert settings.home == Path.home() / ".headway"


def test_options_win_over_the_environment_which_wins_over_defaults() -> None:
    environment = {
        "HEADWAY_HTTP_PORT": "1",
        "HEADWAY_GRPC_PORT": "2",
        "HEADWAY_TRANSACTION_POOLER": "yes",
    }
    settings = Settings.read(environment, http_port=3, database_url=None)

    assert (settings.http_port, settings.grpc_port, settings.transaction_pooler) == (3, 2, True)


def test_words_may_be_written_in_capitals() -> None:
    assert Settings.read({"HEADWAY_LOG_LEVEL": "INFO"}).log_level == "info"


def test_a_child_reads_the_same_settings() -> None:
    settings = Settings.read(
        {},
        home=Path("/somewhere"),
        lease_ttl=60.5,
        http_port=0,
        tls_certificate=Path("/c"),
        tls_key=Path("/k"),
    )

    assert Settings.read(settings.variables()) == settings


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HEADWAY_HTTP_PORT": "http"}, "HEADWAY_HTTP_PORT='http' is no number"),
        ({"HEADWAY_HTTP_PORT": "70000"}, "HEADWAY_HTTP_PORT=70000"),
        ({"HEADWAY_TRUSTED_PROXY": "perhaps"}, "neither true nor false"),
        ({"HEADWAY_RENEW_INTERVAL": "20"}, "at most half of HEADWAY_LEASE_TTL=30"),
        ({"HEADWAY_REASSIGN_AFTER": "30"}, "at least three times HEADWAY_RECONNECT_CAP=15"),
        ({"HEADWAY_LOG_LEVEL": "loud"}, "debug, info, warning, error"),
        ({"HEADWAY_REQUESTS_OF_WORKSPACE": "0"}, "at least 1"),
        ({"HEADWAY_TLS_KEY": "/k"}, "go together"),
        (
            {"HEADWAY_HTTP_HOST": "0.0.0.0"},
            "HEADWAY_HTTP_HOST=0.0.0.0 is reachable from other machines, without TLS",
        ),
        ({"HEADWAY_GRPC_HOST": "10.0.0.1"}, "HEADWAY_TRUSTED_PROXY=true"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_would_do(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        Settings.read(environment)


def test_beyond_loopback_tls_or_a_trusted_proxy_will_do() -> None:
    Settings.read({"HEADWAY_HTTP_HOST": "0.0.0.0", "HEADWAY_TRUSTED_PROXY": "true"})
    Settings.read(
        {"HEADWAY_HTTP_HOST": "::", "HEADWAY_TLS_CERTIFICATE": "/c", "HEADWAY_TLS_KEY": "/k"}
    )


def test_every_setting_says_what_it_means() -> None:
    for name, (variable, _, meaning) in meanings().items():
        assert variable == variable_name(name)
        assert meaning.endswith("."), name


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("headway.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
