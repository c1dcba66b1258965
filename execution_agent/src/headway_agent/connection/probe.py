"""The way to the control plane, one hop at a time. Each function raises `Broken` with what to do next."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import grpc
import grpc.aio

from headway_agent.connection.calls import metadata_of, stub_of
from headway_agent.connection.channel import Target, open_channel
from headway_agent.connection.errors import TABLE, TIME_KEY

HOP_S = 10.0
_NOBODY = (("authorization", "Bearer doctor"),)


class Broken(Exception):
    """A hop does not work. `next_step` says what to do."""

    def __init__(self, text: str, next_step: str) -> None:
        super().__init__(text)
        self.next_step = next_step


async def resolve(target: Target) -> str:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Broken(
            f"{target.host} has no address: {error}",
            "check the name in HEADWAY_AGENT_SERVER and this machine's DNS",
        ) from error
    return ", ".join(sorted({str(address[4][0]) for address in found}))


async def connect(target: Target) -> str:
    """Opens a plain connection, through the proxy where one is set."""
    streams = await _open(target)
    streams[1].close()
    return f"through {target.proxy}" if target.proxy else "directly"


async def handshake(target: Target) -> str:
    """TLS as the channel does it: the private authority if one is named, HTTP/2 agreed."""
    context = ssl.create_default_context(cafile=str(target.ca) if target.ca else None)
    context.set_alpn_protocols(["h2"])
    _, writer = await _open(target)
    try:
        async with asyncio.timeout(HOP_S):
            await writer.start_tls(context, server_hostname=target.host)
        agreed = writer.get_extra_info("ssl_object")
        if agreed.selected_alpn_protocol() != "h2":
            raise Broken(
                "TLS works, HTTP/2 was not agreed",
                "let proxies and load balancers on the way pass HTTP/2 (gRPC)",
            )
        return str(agreed.version())
    except ssl.SSLCertVerificationError as error:
        raise Broken(
            f"the certificate is not trusted: {error.verify_message}",
            "name your authority with --ca FILE, or fix the certificate; a proxy that opens TLS needs its own --ca",
        ) from error
    except (OSError, TimeoutError) as error:
        raise Broken(
            f"TLS fails: {str(error) or 'no answer in time'}",
            "check that the port speaks TLS; a server without it needs http:// in HEADWAY_AGENT_SERVER",
        ) from error
    finally:
        writer.close()


async def server_time_us(target: Target) -> int | None:
    """Calls without an identity: the refusal shows that the service is there, and its clock."""
    code, metadata, detail = await session_status(target, _NOBODY)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        text = metadata.get(TIME_KEY, "")
        return int(text) if text.isdecimal() else None
    raise Broken(f"{code.name}: {detail}", TABLE[code][1])


async def session_status(
    target: Target, authorization: tuple[tuple[str, str], ...]
) -> tuple[grpc.StatusCode, Mapping[str, str], str]:
    """How a stream ends that says nothing at all: no session is opened by it."""
    channel = open_channel(target)
    try:
        call = stub_of(channel).Session(metadata=authorization, timeout=HOP_S)
        try:
            await call.done_writing()
            await call.read()
        except (grpc.aio.AioRpcError, grpc.aio.UsageError):
            pass  # its status is the answer, read below
        metadata = metadata_of(await call.trailing_metadata())
        return await call.code(), metadata, await call.details() or ""
    finally:
        await channel.close()


async def _open(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = target.host, target.port
    if target.proxy:
        parts = urlsplit(target.proxy if "://" in target.proxy else f"//{target.proxy}")
        host, port = parts.hostname or "", parts.port or 3128
    try:
        async with asyncio.timeout(HOP_S):
            reader, writer = await asyncio.open_connection(host, port)
            if target.proxy:
                await _tunnel(reader, writer, target)
            return reader, writer
    except (OSError, TimeoutError) as error:
        raise Broken(
            f"{host}:{port} does not answer: {str(error) or 'no answer in time'}",
            "check the port, firewalls on the way, and whether a proxy is needed (https_proxy)",
        ) from error


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target
) -> None:
    where = target.authority
    writer.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
    await writer.drain()
    status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        writer.close()
        raise Broken(
            f"the proxy refuses the way to {where}: {status}",
            "have the proxy allow CONNECT to this host and port",
        )
