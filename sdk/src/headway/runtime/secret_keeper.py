"""The secrets of one attempt, in the flow's process: found once, told to the supervisor before anybody has them."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Any

from headway.errors import SecretError
from headway.payloads import Payload
from headway.runtime.channel import Channel
from headway.runtime.clock import now_us
from headway.runtime.redaction import Redactor
from headway.runtime.results import payload_text
from headway.runtime.secret_frames import announced, announcement, kept_variables
from headway.runtime.secret_sources import Source, find, sources_of
from headway.secrets import ShortSecret

MOST_SCANNED = 16 << 20
"""Bytes of a result that are looked through. A larger one counts as one that holds a secret, wherever it does."""
_ADVICE = (
    "Put it in one of them on the machine of the agent; environments.toml says where else to look."
)
_log = logging.getLogger("headway")


class SecretKeeper:
    """Finds values, and sees to it that the supervisor knows each before the flow does (headway.secrets.Lookup)."""

    advice = _ADVICE

    def __init__(
        self, start: Mapping[str, Any], channel: Channel, redactor: Redactor | None = None
    ) -> None:
        """`redactor`: what this process and its supervisor know from earlier attempts."""
        self._configured = start.get("secrets")
        self._parameters = start.get("parameters")
        self._channel = channel
        self._sources: list[Source] | None = None
        self._values: dict[str, str] = {}
        self._redactor = Redactor() if redactor is None else redactor
        # The supervisor knows these from the beginning. Code may read them without asking, and what it returns then holds a secret too.
        self._kept = Redactor()
        for variable, name in kept_variables(start).items():
            self._kept.add(name, os.environ.get(variable, ""))  # noqa: TID251 - the attempt's own
        # One lookup at a time: a provider that is slow once must not be asked by every thread. It may ask for another.
        self._lock = RLock()
        self._cut_off = False
        channel.on_secret = self._heard

    def get(self, name: str) -> str:
        with self._lock:
            value = self._values.get(name)
            if value is None:
                value = find(self._places(), name, self.advice)
                self.protect(name, value)
                self._values[name] = value
            return value

    def protect(self, name: str, value: str) -> None:
        """Returns once the supervisor has it. Warns of one too short, and of one that the parameters hold."""
        with self._lock:
            known = self._redactor.spans(value)
            if known and (known[0].start, known[0].end) == (0, len(value)):
                return
            if self._cut_off:
                raise SecretError(
                    f"{name!r} cannot be taken up in a process that the flow has forked: get it in the flow before"
                )
            if not self._redactor.add(name, value):
                warnings.warn(
                    f"the value of {name!r} is too short to be taken out of output and errors",
                    ShortSecret,
                    stacklevel=3,
                )
                return
            self._announce(name, value)
        if self._parameters and self._redactor.spans(
            json.dumps(self._parameters, ensure_ascii=False)
        ):
            self._parameters = None  # said once
            _log.warning(
                "a parameter of this run holds the value of %r, so the control plane knows it: pass the secret's name instead",
                name,
            )

    def refuse(self, what: str, *texts: str) -> None:
        """Raises SecretError if a value stands in what leaves as a digest, or has to arrive as it is: it cannot be taken out there."""
        for span in self._redactor.spans("\0".join(texts)) if self._redactor else ():
            raise SecretError(
                f"{what} holds the value of {span.name!r}, and would tell it to the control plane: give it a name or a digest"
                " of your own with a key instead"
            )

    def cut_off(self) -> None:
        """In a fork of the flow's process, which has no way to the supervisor: what is known stays."""
        self._cut_off = True

    # Results

    def marks(self, payload: Payload) -> list[list[Any]] | None:
        """Where values stand in a result: name, start, end in its text. None: nowhere."""
        if not self._redactor and not self._kept:
            return None
        if len(payload.data) > MOST_SCANNED:
            return []
        text = payload.data.decode("utf-8", "surrogateescape")
        spans = self._redactor.spans(text) or self._kept.spans(text)
        return [[span.name, span.start, span.end] for span in spans] or None

    def recall(self, result: Mapping[str, Any], file: Path | None) -> None:
        """A result of an earlier attempt is about to be used: the values in it are secret still."""
        text = payload_text(dict(result))
        if file is not None:
            text = file.read_bytes().decode("utf-8", "surrogateescape")
        for name, start, end in result.get("secrets", ()):
            self.protect(name, _plain(text[start:end], result["codec"]))
            # What stood there may be a form of the value: if it is still the same, all of them are known so.
            with suppress(SecretError):
                self.get(name)

    # The way to the supervisor

    def _places(self) -> list[Source]:
        if self._configured is None:
            raise SecretError(
                "this agent is older than secrets: update headway-agent on its machine"
            )
        if self._cut_off:
            raise SecretError(
                "a process that the flow has forked looks up no secret: get it in the flow before, and hand it over"
            )
        if self._sources is None:
            self._sources = sources_of(self._configured, os.environ)  # noqa: TID251 - the attempt's own
        return self._sources

    def _announce(self, name: str, value: str) -> None:
        call = os.urandom(16).hex()
        self._channel.send(announcement(call, now_us(), name, value))
        self._channel.wait_durable(call)

    def _heard(self, frame: Mapping[str, Any]) -> None:
        """From a worker: what it returns holds its secrets as well."""
        with self._lock:
            self._redactor.add(*announced(frame))


def _plain(text: str, codec: str) -> str:
    """As it was found in a result of this codec."""
    if codec != "json":
        return text
    try:
        value = json.loads(f'"{text}"')
    except ValueError:
        return text
    return value if isinstance(value, str) else text
