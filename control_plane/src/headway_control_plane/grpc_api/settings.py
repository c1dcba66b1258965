"""What the agents' side of the control plane can be told, with the defaults of the design. Tests scale the times down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from headway_control_plane.domain.policy import Policy

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts."""

    certificate: bytes
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stream may do. Beyond a limit it is answered with a typed refusal or closed, never buffered."""

    message_bytes: int = 4 * MEBIBYTE
    batch_facts: int = 256
    batch_bytes: int = (
        256 * 1024 + 1024 * 1024
    )  # one fact over the batch's usual size may carry an inline result
    assign_answers_bytes: int = MEBIBYTE  # of answers in an Assign itself; others follow it
    credit_facts: int = 1024
    credit_bytes: int = 512 * 1024
    log_batch_bytes: int = MEBIBYTE
    log_batch_lines: int = 10_000
    held_attempts: int = 10_000
    slots: int = 10_000
    outbound_messages: int = 64
    together_bytes: int = 256 * 1024  # of several messages that go down as one
    unanswered_batches: int = 32  # of facts; beyond, nothing more is read until one is answered
    unanswered_messages: int = 256  # of any kind
    handshakes_per_second: float = 200.0
    handshakes_in_flight: int = 128


@dataclass(frozen=True, slots=True)
class AgentServerSettings:
    """`address` is host:port. Without TLS only loopback is served, unless a proxy that is trusted to do TLS stands in front."""

    address: str = "127.0.0.1:0"
    tls: Tls | None = None
    behind_tls_proxy: bool = False
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    stream_max_age: timedelta = timedelta(minutes=30)
    drain_grace: timedelta = timedelta(seconds=10)
    renew_window: timedelta = timedelta(milliseconds=100)
    hello_timeout: timedelta = timedelta(seconds=10)
    key_cache: timedelta = timedelta(seconds=30)
    sweep_interval: timedelta = timedelta(seconds=1)
    sweep_interval_alone: timedelta = timedelta(seconds=10)
    pages: str = ""
    """The address under which people see the UI, told to flows; empty: none is known."""
