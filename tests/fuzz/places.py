"""A database for a fuzzer that runs by itself, and ears for what is logged meanwhile."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzz.harness import Finding
from headway_control_plane.db.embedded import EmbeddedPostgres
from headway_control_plane.db.migrate import migrate
from support.postgres import HASTE, server_programs


@contextmanager
def database(url: str) -> Iterator[str]:
    """The one that is given; without one, a server of our own for as long as it lasts."""
    if url:
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as home,
        EmbeddedPostgres(Path(home), server_programs("embedded"), overrides=HASTE) as postgres,
    ):
        postgres.create_database("fuzz")
        migrate(postgres.url("fuzz"))
        yield postgres.url("fuzz")


class Ears(logging.Handler):
    """Hears every error that is logged with its traceback: nothing that comes from outside may lead to one."""

    def __init__(self, *, but: tuple[str, ...] = ()) -> None:
        """`but`: loggers of libraries that say at length what they handle."""
        super().__init__(logging.ERROR)
        self._but = but
        self._heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in self._but:
            self._heard.append(record)

    def raise_what_was_heard(self) -> None:
        heard, self._heard = self._heard, []
        for record in heard:
            if record.exc_info and record.exc_info[1] is not None:
                raise Finding.of(f"logged by {record.name}", record.exc_info[1])
            raise Finding(
                f"logged by {record.name}: {record.getMessage()[:200]}",
                f"{record.name}: {record.msg}",
            )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hears even where logging is switched off otherwise."""
        root, before = logging.getLogger(), logging.root.manager.disable
        logging.disable(logging.NOTSET)
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)
            logging.disable(before)
