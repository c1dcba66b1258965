"""An attempt's files, written by its supervisor: facts durable in groups, lines of output, and what to do on a full disk."""

import contextlib
import socket

from headway.runtime.frames_log import FramesLogBroken, Writer
from headway.runtime.output import OutputLog
from headway.runtime.reserve import FULL, CommonReserve, Reserve
from headway.runtime.start import Faults

LOOK_AGAIN = 1.0


class Store:
    """Facts wait for room, lines are dropped and counted. Whoever feeds it stops while `blocked`."""

    def __init__(
        self,
        run_dir: str,
        writer: Writer,
        wake: "Wake",
        reserve: Reserve,
        common: CommonReserve,
        faults: Faults,
    ) -> None:
        """`common` is for the end of an attempt that has no `reserve` then."""
        self.output = OutputLog(f"{run_dir}/output.log")
        self.writer = writer
        self.blocked = False
        self.look_at: float | None = None
        self.reserve = reserve
        self.common = common
        self._reserved = reserve.kept
        self._wake = wake
        self._fault = faults

    def save(self, now: float, now_us: int, *, ending: bool = False) -> bool:
        """Writes what is waiting; whether all facts are durable now. `ending`: the whole reserve may go."""
        if not (self._reserved or ending):
            # Now, and not when the attempt begins: one that is over within some milliseconds saves at its end alone, and
            # to make a file costs as much as the rest of it. What it says fits into the block that its first fact took, or
            # takes of the common reserve.
            self._reserved = True
            self.reserve.keep()
        if self.look_at is not None and now >= self.look_at:
            self._look(now)
        grew = False
        if not self.blocked or ending:
            grew = self._commit(now, ending=ending)
        grew |= self.output.write(now_us, room=ending or self.look_at is None)
        if grew:
            self._wake.send(self.writer.durable)
        return not self.writer.pending_bytes

    def finish(self) -> None:
        """The attempt is over. Its reserve may be the next one's."""
        self.output.close()
        self.writer.close()

    def leave(self) -> None:
        """In a child: it must have none of it."""
        self.writer.close()
        self.reserve.close()
        self.common.close()

    def _commit(self, now: float, *, ending: bool) -> bool:
        size = self.writer.pending_bytes
        if not size:
            return False
        full = self.look_at is not None
        if full and not ending and size > self.reserve.facts_left:
            self.blocked = True
            return False
        self._fault("before_commit")
        try:
            self.writer.commit()
        except FramesLogBroken:
            raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            return self._make_room(now, ending=ending)
        self._fault("after_commit")
        self.reserve.facts_left -= size
        return True

    def _make_room(self, now: float, *, ending: bool) -> bool:
        self.look_at = now + LOOK_AGAIN
        if self.reserve.release() or (ending and self.common.release()):
            return self._commit(now, ending=ending)
        self.blocked = True
        return False

    def _look(self, now: float) -> None:
        if self.reserve.keep():
            self.look_at = None
            self.blocked = False
        else:
            self.look_at = now + LOOK_AGAIN


class Wake:
    """Tells the agent that there is something new. A hint: it may be away, its queue full, and the files are the truth."""

    def __init__(self, sock: socket.socket, path: str, attempt: str) -> None:
        self._socket = sock
        self._path = path
        self._attempt = attempt

    def send(self, durable: int) -> None:
        """`durable`: up to where frames.log is, so that whoever reads it need not sync it again."""
        if self._path:
            with contextlib.suppress(OSError):
                self._socket.sendto(f"{self._attempt}/{durable}".encode(), self._path)


def hints() -> socket.socket:
    """What they are sent from; one for all attempts of a process."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.settimeout(0)
    return sock
