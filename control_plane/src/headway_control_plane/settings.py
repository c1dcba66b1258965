"""The control plane's settings: defaults, then HEADWAY_* variables, then options of the command line. Read once.

Only the composition root imports this module; everything else is handed the values it needs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self, get_type_hints


class BadSetting(ValueError):
    """A setting cannot be used; the message names it and says what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the control plane. `http_port` is HEADWAY_HTTP_PORT, and so on; durations are in seconds."""

    home: Annotated[Path, "Where `headway up` keeps its database, profile and logs."] = Path(
        "~/.headway"
    )
    database_url: Annotated[
        str, "PostgreSQL to use (15 or newer). Empty: `headway up` runs one of its own."
    ] = ""
    postgres_bin: Annotated[
        Path | None, "Folder of the PostgreSQL programs that `headway up` runs."
    ] = None
    transaction_pooler: Annotated[
        bool, "database_url leads to a pooler in transaction mode, such as PgBouncer."
    ] = False
    direct_database_url: Annotated[
        str, "The same database without the pooler, for migrations and LISTEN."
    ] = ""
    pool_size: Annotated[int, "Most database connections of one role in one process."] = 8

    http_host: Annotated[str, "Address of the REST API and the UI."] = "127.0.0.1"
    http_port: Annotated[int, "Port of the REST API and the UI; 0 takes any free one."] = 4200
    requests_of_workspace: Annotated[
        int,
        "Most API requests of one workspace under way at once; beyond, the API answers 429.",
    ] = 64
    http_request_timeout: Annotated[
        float, "How long a request may take to arrive whole; then its connection is closed."
    ] = 30.0
    grpc_host: Annotated[str, "Address that agents dial."] = "127.0.0.1"
    grpc_port: Annotated[int, "Port that agents dial; 0 takes any free one."] = 4201
    public_url: Annotated[
        str, "URL under which people reach the UI, where a proxy stands in front."
    ] = ""
    tls_certificate: Annotated[
        Path | None, "Certificate chain (PEM) for the REST API and the agents' port."
    ] = None
    tls_key: Annotated[Path | None, "Private key (PEM) of the certificate."] = None
    trusted_proxy: Annotated[
        bool, "A proxy in front ends TLS: serve plain text beyond loopback."
    ] = False

    lease_ttl: Annotated[float, "How long an agent session's lease lasts after a renewal."] = 30.0
    renew_interval: Annotated[float, "How often agents renew."] = 10.0
    reassign_after: Annotated[
        float, "How long after a session's loss its runs go to another agent."
    ] = 90.0
    start_timeout: Annotated[
        float,
        "How long a granted run may go unheard of by a connected agent before it is given anew.",
    ] = 300.0
    reconnect_cap: Annotated[
        float, "Longest pause of an agent between two attempts to connect."
    ] = 15.0
    brake_limit: Annotated[
        float, "Longest time that a mass loss of sessions holds back reassignment."
    ] = 900.0
    session_max_age: Annotated[
        float, "When an agent's stream is rotated to another connection."
    ] = 1800.0
    replica_ttl: Annotated[float, "How long a replica owns its shards after a renewal."] = 15.0
    sweep_interval: Annotated[float, "How often timers and expired sessions are looked at."] = 1.0
    segment_days_ahead: Annotated[int, "For how many days ahead the log's partitions exist."] = 7
    drain_timeout: Annotated[
        float, "How long the server finishes what is under way when it is told to stop."
    ] = 20.0

    log_format: Annotated[str, "Format of the process's own log: text or json."] = "text"
    log_level: Annotated[
        str, "Least severity of the process's own log: debug, info, warning or error."
    ] = "info"
    otlp_endpoint: Annotated[
        str, "OTLP/HTTP collector for our traces and metrics. Empty: nothing is sent."
    ] = ""

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise BadSetting(problem)

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None, **options: Any) -> Self:
        """Read the environment; options that are not None win over it."""
        environment = os.environ if environment is None else environment
        types = get_type_hints(cls)
        values: dict[str, Any] = {}
        for setting in fields(cls):
            variable = variable_name(setting.name)
            if variable in environment:
                values[setting.name] = _parse(variable, environment[variable], types[setting.name])
        values.update((name, value) for name, value in options.items() if value is not None)
        for word in _WORDS.keys() & values.keys():
            values[word] = values[word].lower()
        settings = cls(**values)
        return replace(settings, home=settings.home.expanduser().absolute())

    @property
    def http_url(self) -> str:
        """URL of the UI as a person would open it."""
        scheme = "https" if self.tls_certificate else "http"
        return self.public_url or f"{scheme}://{_bracketed(self.http_host)}:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        """URL that an agent on this machine dials."""
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{_bracketed(self.grpc_host)}:{self.grpc_port}"

    @property
    def migration_url(self) -> str:
        """The database past any pooler."""
        return self.direct_database_url or self.database_url

    def variables(self) -> dict[str, str]:
        """Return the environment that reads as these settings, without what is at its default."""
        defaults = type(self)()
        return {
            variable_name(s.name): _format(getattr(self, s.name))
            for s in fields(self)
            if getattr(self, s.name) != getattr(defaults, s.name)
        }


def child_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment, changed so that a child reads these settings from it."""
    inherited = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    return inherited | settings.variables()


def variable_name(setting: str) -> str:
    return f"HEADWAY_{setting.upper()}"


def meanings() -> dict[str, tuple[str, Any, str]]:
    """Return each setting's variable, default and meaning, for the reference documentation."""
    hints = get_type_hints(Settings, include_extras=True)
    return {
        s.name: (variable_name(s.name), s.default, hints[s.name].__metadata__[0])
        for s in fields(Settings)
    }


_VARIABLES = frozenset(variable_name(setting.name) for setting in fields(Settings))


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse(variable: str, text: str, kind: Any) -> Any:
    if kind is bool:
        return _parse_bool(variable, text)
    if kind in {Path, Path | None}:
        return Path(text) if text else None
    try:
        return kind(text)
    except ValueError:
        raise BadSetting(f"{variable}={text!r} is no number.") from None


def _parse_bool(variable: str, text: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    words[""] = False
    if text.lower() not in words:
        raise BadSetting(f"{variable}={text!r} is neither true nor false.")
    return words[text.lower()]


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _problems(settings: Settings) -> list[str]:
    return [*_wrong_numbers(settings), *_wrong_words(settings), *_unsafe_exposure(settings)]


def _wrong_numbers(settings: Settings) -> list[str]:
    problems = [
        f"{variable_name(name)}={port}: a port lies between 0 and 65535."
        for name in ("http_port", "grpc_port")
        if not 0 <= (port := getattr(settings, name)) <= 65535
    ]
    if not 0 < settings.renew_interval <= settings.lease_ttl / 2:
        problems.append(
            f"HEADWAY_RENEW_INTERVAL={settings.renew_interval:g} must be above 0 and at most half of "
            f"HEADWAY_LEASE_TTL={settings.lease_ttl:g}, so that one lost renewal does not lose the lease."
        )
    if settings.reassign_after < 3 * settings.reconnect_cap:
        problems.append(
            f"HEADWAY_REASSIGN_AFTER={settings.reassign_after:g} must be at least three times "
            f"HEADWAY_RECONNECT_CAP={settings.reconnect_cap:g}, or runs are repeated that only lost their connection."
        )
    if settings.start_timeout < settings.lease_ttl:
        problems.append(
            f"HEADWAY_START_TIMEOUT={settings.start_timeout:g} must be at least "
            f"HEADWAY_LEASE_TTL={settings.lease_ttl:g}, or runs are given anew that have only just begun."
        )
    if settings.requests_of_workspace < 1:
        problems.append(
            f"HEADWAY_REQUESTS_OF_WORKSPACE={settings.requests_of_workspace} must be at least 1, or no request is answered."
        )
    if settings.pool_size < _POOL_SIZE_MIN:
        problems.append(
            f"HEADWAY_POOL_SIZE={settings.pool_size} must be at least {_POOL_SIZE_MIN}: the log's two lanes and its hints keep four."
        )
    return problems


_POOL_SIZE_MIN = 5
_WORDS = {"log_format": ("text", "json"), "log_level": ("debug", "info", "warning", "error")}


def _wrong_words(settings: Settings) -> list[str]:
    return [
        f"{variable_name(name)}={value!r} must be one of: {', '.join(words)}."
        for name, words in _WORDS.items()
        if (value := getattr(settings, name)) not in words
    ]


def _unsafe_exposure(settings: Settings) -> list[str]:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        return ["HEADWAY_TLS_CERTIFICATE and HEADWAY_TLS_KEY go together: set both or none."]
    if settings.tls_certificate is not None or settings.trusted_proxy:
        return []
    return [
        f"{variable_name(name)}={host} is reachable from other machines, without TLS. Set HEADWAY_TLS_CERTIFICATE and "
        "HEADWAY_TLS_KEY, or HEADWAY_TRUSTED_PROXY=true when a proxy in front ends TLS."
        for name in ("http_host", "grpc_host")
        if not is_loopback(host := getattr(settings, name))
    ]
