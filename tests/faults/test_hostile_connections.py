"""Connections that mean harm, on the agents' port and on that of the API: no crash, memory bounded, and everybody else is served meanwhile."""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack, suppress

import grpc
import psutil
import pytest

from support import http2
from support.eventually import eventually
from support.http2 import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    Connection,
    frame,
)
from support.load import load

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(300)]

GROWTH = 250 << 20
"""Of the server's memory; a flood that is kept would be more."""


def rst_flood(headway, rng) -> int:
    """Streams opened and reset at once, as fast as they can be said."""
    with ExitStack() as stack:
        connection = Connection(headway.grpc_port)
        stack.callback(connection.close)
        block, count = http2.request_headers(), 0
        for number in range(1, 20_000, 2):
            opened = frame(HEADERS, END_HEADERS, number, block)
            if not connection.send(opened + frame(RST_STREAM, 0, number, b"\0\0\0\x08")):
                break
            count += 1
        return count


def continuation_flood(headway, rng) -> int:
    """Headers without an end."""
    connection = Connection(headway.grpc_port)
    try:
        connection.send(frame(HEADERS, END_STREAM, 1, http2.request_headers()))
        piece = frame(CONTINUATION, 0, 1, http2.literal("x-more", "v" * 8_000) * 2)
        count = 0
        while count < 3_000 and connection.send(piece):
            count += 1
        return max(count, 1)
    finally:
        connection.close()


def ping_flood(headway, rng) -> int:
    connection = Connection(headway.grpc_port)
    try:
        return sum(connection.send(frame(PING, 0, 0, bytes(8)) * 100) for _ in range(300))
    finally:
        connection.close()


def random_frames(headway, rng) -> int:
    for _ in range(40):
        connection = Connection(headway.grpc_port)
        try:
            for _ in range(20):
                payload = rng.randbytes(rng.choice((0, 4, 8, 100, 5_000)))
                kind, flags, stream = (
                    rng.randrange(256),
                    rng.randrange(256),
                    rng.choice((0, 1, 3, 2**31 - 1)),
                )
                if not connection.send(frame(kind, flags, stream, payload)):
                    break
        finally:
            connection.close()
    return 40


def random_methods_and_huge_metadata(headway, rng) -> int:
    target = f"127.0.0.1:{headway.grpc_port}"
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        for _ in range(60):
            path = rng.choice(
                (
                    "/",
                    "/x",
                    "/headway_api.agent.v1.AgentService/Nothing",
                    http2.PATH,
                    "/" + "y" * 3_000,
                )
            )
            metadata = (
                ("x-huge", "v" * rng.choice((10, 9_000, 100_000))),
                ("authorization", "Bearer x"),
            )
            with suppress(grpc.RpcError):
                channel.unary_unary(path)(
                    os.urandom(rng.choice((0, 10, 100_000))), metadata=metadata, timeout=10
                )
    return 60


def slow_loris(headway, rng) -> int:
    """Half a request, and then a byte now and then; on both ports."""
    port = int(headway.api.url.rpartition(":")[2])
    held = [
        socket.create_connection(("127.0.0.1", p), timeout=10)
        for p in [port] * 150 + [headway.grpc_port] * 50
    ]
    try:
        for _ in range(3):
            for each in held:
                with suppress(OSError):
                    each.sendall(rng.choice((b"GET / HTTP/1.1\r\nX-A: b", b"a", b"P")))
        shown = headway.api("GET", "/whoami")
        assert shown
        return len(held)
    finally:
        for each in held:
            each.close()


def hostile_http(headway, rng) -> int:
    port = int(headway.api.url.rpartition(":")[2])
    said = [
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n{",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx",
        b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        http2.PREFACE,
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: " + b"h" * 30_000 + b"\r\n\r\n",
        rng.randbytes(3_000),
    ]
    for text in said * 5:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as each, suppress(OSError):
            each.sendall(text)
            each.settimeout(0.2)
            each.recv(65536)
    return len(said) * 5


ATTACKS = [
    rst_flood,
    continuation_flood,
    ping_flood,
    random_frames,
    random_methods_and_huge_metadata,
    slow_loris,
    hostile_http,
]


@pytest.mark.row(25)
def test_hostile_connections_hurt_nobody(headway, trial):
    server = headway.part("server")
    before = server.memory_info().rss
    with load(headway, per_second=1.0, seconds=0.02) as work:
        work.until_more_marks(3)
        for attack in ATTACKS:
            times = attack(headway, random.Random(attack.__name__))
            trial.happened(attack.__name__.replace("_", " "), times)
            work.until_more_marks(1)
        work.drain()
    alive = psutil.pid_exists(server.pid) and headway.part("server").pid == server.pid
    trial.holds("no crash", () if alive else ["the server was started again"])
    grown = eventually(lambda: max(server.memory_info().rss - before, 1))
    trial.holds("memory is bounded", () if grown < GROWTH else [f"grown by {grown >> 20} MiB"])
    errors = [
        line for line in headway.log.read_text(errors="replace").splitlines() if "Traceback" in line
    ]
    trial.holds("no unhandled error", errors[:3])
    work.judge(trial)
