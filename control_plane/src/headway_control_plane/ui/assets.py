"""Stylesheet, modules and icon: read once, named by their digest, so that a browser keeps them until they change."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

PREFIX = "/ui/"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"
# `import './app.js'` in a module becomes the name with the digest.
_IMPORT = re.compile(r"""(from|import) ?(["'])\./([a-z_]+\.js)\2""")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    media_type: str
    plain: bytes
    packed: bytes


class Assets:
    """The files of `static`, by the name under which pages refer to them."""

    def __init__(self) -> None:
        self._sources = {
            entry.name: entry.read_bytes()
            for entry in files("headway_control_plane.ui").joinpath("static").iterdir()
            if entry.name.rpartition(".")[2] in _TYPES
        }
        # One digest for all: modules import each other, and a release changes several at once anyway.
        digest = hashlib.sha256(b"".join(self._sources[name] for name in sorted(self._sources)))
        self._version = digest.hexdigest()[:12]
        self._assets = {name: self._prepare(name) for name in self._sources}

    def url(self, name: str) -> str:
        """Return where a page finds a file; an unknown name is a mistake in a template."""
        assert name in self._sources, f"there is no asset {name}"
        return f"{PREFIX}{self._version}/{name}"

    def respond(self, request: Request) -> Response:
        """Answer for one file; any version's name leads to the present one."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return Response("There is no such file.", status_code=404)
        headers = {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
        current = request.path_params["version"] == self._version
        headers["Cache-Control"] = _FOREVER if current else "no-cache"
        body = asset.plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            body = asset.packed
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type=asset.media_type, headers=headers)

    def _prepare(self, name: str) -> Asset:
        source = self._sources[name]
        kind = name.rpartition(".")[2]
        if kind == "js":
            named = rf'\1 "{PREFIX}{self._version}/\3"'
            source = _IMPORT.sub(named, source.decode()).encode()
        return Asset(_TYPES[kind], source, gzip.compress(source, 9, mtime=0))
