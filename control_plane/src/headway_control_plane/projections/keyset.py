"""Pages by key: a cursor names the row at the edge of the page, never a number of rows to skip."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BadPageCursor(ValueError):
    """A text that should be a page's cursor is none."""

    def __init__(self) -> None:
        super().__init__(
            "The cursor is none of this list's. Leave it out to begin at the first page."
        )


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a page begins: beyond `key`, towards the end of the list or back towards its beginning."""

    key: str
    back: bool = False

    def encode(self) -> str:
        """Return the opaque text form."""
        raw = json.dumps(["b" if self.back else "f", self.key], separators=(",", ":"))
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Edge":
        """Read the text form; raises BadPageCursor."""
        try:
            padded = text + "=" * (-len(text) % 4)
            direction, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, TypeError, binascii.Error):
            raise BadPageCursor from None
        if direction not in {"f", "b"} or not isinstance(key, str):
            raise BadPageCursor
        return cls(key, direction == "b")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Items in the list's order; the cursors of the neighbouring pages, None where there is none."""

    items: Sequence[Item]
    next: str | None = None
    previous: str | None = None
