"""An attempt of nothing, executed by the template between two requests, so that attempts find in memory what it leaves there.

What Python learns of code by executing it (specialised instructions, caches of types and attributes) it writes beside that
code. Each fork would learn it anew, and copy the pages for it: a tenth of all that a short attempt touches. Learnt here, it
is shared. A rehearsal has no files, children or signals, and puts back what it sets.
"""

from __future__ import annotations

import contextvars
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import headway
from headway import secrets, variables
from headway.entrypoints import use_root
from headway.runtime import clock
from headway.runtime.attempt_files import announce
from headway.runtime.child import Attempt, execute
from headway.runtime.flow_process import FlowProcess, text_writer
from headway.runtime.frames_log import Writer
from headway.runtime.framing import pack
from headway.runtime.handlers import get_handler, set_handler
from headway.runtime.limits import SIGNAL
from headway.runtime.loghook import FrameHandler
from headway.runtime.redaction import Redactor
from headway.runtime.reserve import CommonReserve, Reserve
from headway.runtime.start import no_faults
from headway.runtime.store import Store, Wake, hints
from headway.runtime.supervisor import Supervisor

ROUNDS = 12 if hasattr(os, "memfd_create") else 0
"""Python 3.11 specialises what was executed eight times."""

_NOBODY = 1 << 30
"""No process has this number."""
_MODULE = "headway.runtime.rehearsed"
_ROOT = str(Path(headway.__path__[0]).parent)
_START: dict[str, Any] = {
    "ranges": True,
    "run": "00000000-0000-0000-0000-000000000000",
    "fence": 1,
    "run_name": "",
    "flow": "nothing",
    "deployment": "",
    "entrypoint": f"{_MODULE}:nothing",
    "root": _ROOT,
    "run_dir": "",
    "environment": "",
    "env": {},
    "parameters": {},
    "knows": ["runs", "pauses"],
}


def rehearse() -> None:
    """One attempt. Main thread only."""
    with _put_back(), ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        stack.enter_context(theirs)
        out, err = (_pipe(stack) for _ in range(2))
        _listen(out)
        contextvars.copy_context().run(_flow, theirs)
        theirs.sendall(pack({"type": "idle", "files": {}}))
        ours.settimeout(0)
        _supervise(FlowProcess(_NOBODY, ours, out, err), stack)


def _flow(sock: socket.socket) -> None:
    sys.modules.pop(_MODULE, None)
    use_root(_ROOT)
    execute(_START, sock, lambda _: None, Redactor(), Attempt).release()


def _listen(fd: int) -> None:
    """As a flow process does for its streams and what it logs, with a stream and a logger of its own."""
    text_writer(fd).flush()
    logger = logging.Logger(_MODULE)  # noqa: LOG001 - one that goes again
    handler = FrameHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.removeHandler(handler)
    handler.close()


def _supervise(flow_process: FlowProcess, stack: ExitStack) -> None:
    writer = Writer(os.memfd_create("frames.log"))  # closed with the attempt
    announce(_START, writer, "", no_faults)
    reserve = Reserve(lambda: os.memfd_create("reserve"), size=4096)
    stack.callback(reserve.close)
    wake = Wake(stack.enter_context(hints()), "", "")
    store = Store("", writer, wake, reserve, CommonReserve(), no_faults)
    _Supervisor(_START, flow_process, store, clock.now_us(), lambda _start, _sock: 0).run()


class _Supervisor(Supervisor):
    """Of a flow process that is none: its frames have all come, the last one says that it is idle."""

    def _listen_to_signals(self) -> None:
        """They are the template's."""

    def _keep_or_let_go(self) -> None:
        self.kept = True


@contextmanager
def _put_back() -> Iterator[None]:
    numbers = (signal.SIGUSR1, SIGNAL)
    handlers, path = [get_handler(number) for number in numbers], list(sys.path)
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            set_handler(number, handler)
        sys.path[:] = path
        secrets.install(None)
        variables.install(None)


def _pipe(stack: ExitStack) -> int:
    """An end to read from; nothing comes, and it does not end."""
    read_end, write_end = os.pipe()
    stack.callback(os.close, read_end)
    stack.callback(os.close, write_end)
    os.set_blocking(read_end, False)
    return read_end
