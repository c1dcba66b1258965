"""Whether the addresses that the server wants are free, asked before anything is started."""

import errno
import socket
from dataclasses import replace

from headway_control_plane.settings import Settings, variable_name


class PortTaken(Exception):
    """A port is in use; the message says by which setting to choose another one."""


def require_free_ports(settings: Settings) -> None:
    """Refuse to start when an address is taken or is not this machine's."""
    for name in ("http", "grpc"):
        host, port = getattr(settings, f"{name}_host"), getattr(settings, f"{name}_port")
        reason = _why_not(host, port)
        if reason is not None:
            raise PortTaken(
                f"{host}:{port} {reason}. Nothing was started.\n"
                f"Stop what uses it, or choose another port: headway up --{name}-port {port + 10} "
                f"(or set {variable_name(f'{name}_port')})"
            )


def with_chosen_ports(settings: Settings) -> Settings:
    """Choose a free port wherever the settings leave it to the system: all parts must know the same one."""
    return replace(
        settings,
        http_port=settings.http_port or _free_port(settings.http_host),
        grpc_port=settings.grpc_port or _free_port(settings.grpc_host),
    )


def avoiding_taken_ports(settings: Settings) -> Settings:
    """Choose other ports where somebody listens already: for what does not have to be found at a usual place."""
    return replace(
        settings,
        http_port=0 if _why_not(settings.http_host, settings.http_port) else settings.http_port,
        grpc_port=0 if _why_not(settings.grpc_host, settings.grpc_port) else settings.grpc_port,
    )


def _free_port(host: str) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.bind(address)
        return int(probe.getsockname()[1])


def _why_not(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do it: connections of an earlier server that still fade away do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return (
            "is in use by another program"
            if error.errno == errno.EADDRINUSE
            else f"cannot be used: {error}"
        )
    return None
