"""The HTTP server's own limits, over a real socket."""

import asyncio
import contextlib

import pytest

from headway_control_plane.main.http_server import HttpServer


async def _app(scope, receive, send) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-body", length)]})
    await send({"type": "http.response.body", "body": b""})


async def _exchange(*parts: bytes, request_timeout: float = 30.0) -> bytes:
    """What the server answers until it hangs up; parts arrive one by one."""
    async with (
        HttpServer(
            _app, "127.0.0.1", 0, drain_timeout=1, request_timeout=request_timeout
        ) as server,
        asyncio.timeout(20),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        answers = asyncio.create_task(reader.read())
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            pass  # refused before all of it was sent: that is what some of these tests want
        try:
            return await answers
        except ConnectionResetError:
            return b""  # it hung up with something still unread, as the kernel puts it
        finally:
            writer.close()


def _post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_request_that_does_not_arrive_whole_in_time_loses_its_connection(
    begun: bytes,
) -> None:
    """`HEADWAY_HTTP_REQUEST_TIMEOUT`."""
    assert await _exchange(begun, request_timeout=0.05) == b""


async def test_each_byte_does_not_give_a_request_more_time() -> None:
    async with (
        HttpServer(_app, "127.0.0.1", 0, drain_timeout=1, request_timeout=0.05) as server,
        asyncio.timeout(20),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        ended = asyncio.create_task(reader.read())
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        while not ended.done():
            writer.write(b"a")
            await asyncio.wait({ended}, timeout=0.01)
        writer.close()
        assert isinstance(ended.exception(), ConnectionError) or ended.result() == b""


async def test_an_answer_may_take_longer_than_its_request() -> None:
    answer = asyncio.Event()

    async def slow(scope, receive, send) -> None:
        await answer.wait()
        await _app(scope, receive, send)

    async with (
        HttpServer(slow, "127.0.0.1", 0, drain_timeout=1, request_timeout=0.05) as server,
        asyncio.timeout(20),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await _until_closed(idle)  # its time, and so the other's, is over
        answer.set()
        assert b" 200 " in await reader.read()
        for each in (writer, idle_writer):
            each.close()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""


async def test_a_head_without_an_end_is_refused() -> None:
    endless = [b"x-%06d: %s\r\n" % (n, b"v" * 1000) for n in range(2_000)]
    answer = await _exchange(b"GET / HTTP/1.1\r\nHost: x\r\n", *endless)
    assert b" 200 " not in answer
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_bodies_do_not_count_as_heads(size: int) -> None:
    first, last = _post(b"b" * size), _post(b"c" * size, b"Connection: close")
    answer = await _exchange(first + last)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"x-body: %d" % size) == 2
