"""An HTTP server inside our event loop: uvicorn without its own signal handling, loop and logging."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a request line and its headers together, as other servers have it.
_MOST_HEAD = 64 * 1024


class _Protocol(HttpToolsProtocol):
    """HTTP by httptools, which takes a fifth of the time that the parser in Python needs, and knows no end of a head.

    A request that does not arrive whole in time loses its connection: whoever sends it byte by byte would hold it for ever.
    """

    request_timeout: ClassVar[float]

    _head_bytes: float = 0.0
    """What came of a head that is not complete; less than nothing while a body comes."""
    _late: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._request_is_here()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.request_timeout, self._give_up)

    def _request_is_here(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        self.transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        if self._head_bytes == 0.0:
            self._expect_request()
        if self._head_bytes > _MOST_HEAD:
            self._unset_keepalive_if_required()
            self.send_400_response("The request's headers are too large.")
            return
        self._head_bytes += len(data)
        super().data_received(data)

    @override
    def on_headers_complete(self) -> None:
        self._head_bytes = -math.inf
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._head_bytes = 0.0
        self._request_is_here()
        super().on_message_complete()


class _Server(uvicorn.Server):
    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process's own life cycle."""
        yield


class HttpServer:
    """Serves an ASGI application on a socket that is bound at once, so that the port is known before anything runs."""

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        *,
        drain_timeout: float,
        request_timeout: float = 30.0,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._socket = bind(host, port)
        certificate, key = tls or (None, None)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=type("_TimedProtocol", (_Protocol,), {"request_timeout": request_timeout}),
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=max(1, int(drain_timeout)),
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def until_broken(self) -> None:
        """Wait for as long as the server serves."""
        assert self._task is not None, "the server was not started"
        await asyncio.shield(self._task)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        while not self._server.started:  # uvicorn offers a flag alone
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._server.should_exit = True
        await self._task


def bind(host: str, port: int) -> socket.socket:
    """Bind and listen; raises OSError with the address in its message."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return bound
