"""The channel to the control plane: TLS unless told otherwise, keepalive, proxies."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import grpc.aio

MESSAGE_LIMIT = 4 * 1024 * 1024


class BadAddress(ValueError):
    """The server's address can't be used; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the control plane is, and how to speak to it."""

    host: str
    port: int
    tls: bool
    ca: Path | None = None
    proxy: str = ""

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_target(
    address: str, *, insecure: bool = False, ca: Path | None = None, proxy: str = ""
) -> Target:
    """Reads `host:port`, `https://host[:port]` or `http://host:port`. Without a scheme it is TLS, but on loopback."""
    with_scheme = "://" in address
    parts = urlsplit(address if with_scheme else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadAddress(f"{address!r} is no address: {error}") from error
    if not host or parts.scheme not in ("", "http", "https") or parts.path.strip("/"):
        raise BadAddress(f"{address!r} is no address: write host:port or https://host:port")
    if port is None and parts.scheme != "https":
        raise BadAddress(f"{address!r} names no port: write {host}:<port>")
    plain_asked = parts.scheme == "http" or (not with_scheme and (insecure or is_loopback(host)))
    if plain_asked and not (insecure or is_loopback(host)):
        raise BadAddress(
            f"{address!r} would send everything unencrypted beyond this machine: use https://, or --insecure if you "
            "accept that"
        )
    plain = plain_asked and (parts.scheme == "http" or ca is None)
    return Target(host, port or 443, tls=not plain, ca=ca, proxy=proxy)


def channel_options(target: Target) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_send_message_length", MESSAGE_LIMIT),
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        # Each dial is a new channel, and pacing is ours: no remembered backoff, no hidden retries.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0 if target.loopback else 1),
    ]
    if target.proxy and not target.loopback:
        options.append(("grpc.http_proxy", target.proxy))
    return options


def open_channel(target: Target) -> grpc.aio.Channel:
    """A channel that connects when it is first used."""
    options = channel_options(target)
    if not target.tls:
        return grpc.aio.insecure_channel(target.authority, options=options)
    roots = target.ca.read_bytes() if target.ca else None
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(target.authority, credentials, options=options)
