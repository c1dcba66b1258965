"""What every answer carries, and what every form must bring: nothing of another origin runs here, nothing of it is obeyed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_LENGTH = 32


class ForeignForm(Exception):
    """A form that this browser session's own pages did not make."""

    def __init__(self) -> None:
        super().__init__(
            "This form was not sent by a page of this session. Reload the page and send it again."
        )


def form_token(secret: bytes, entropy: Callable[[int], bytes]) -> str:
    """Return a token for one page. Masked anew each time, so that compressed pages of many requests do not give it away."""
    mask = entropy(_LENGTH)
    return base64.urlsafe_b64encode(mask + _xor(mask, _proof(secret))).decode()


def require_own_form(request: Request, secret: bytes, token: str) -> None:
    """Refuse a post of another origin, or without this session's token. The cookie's SameSite is the first wall."""
    require_own_origin(request)
    try:
        raw = base64.urlsafe_b64decode(token)
    except (ValueError, binascii.Error):
        raise ForeignForm from None
    masked = raw[_LENGTH:]
    if len(masked) != _LENGTH or not hmac.compare_digest(
        _xor(raw[:_LENGTH], masked), _proof(secret)
    ):
        raise ForeignForm


def require_own_origin(request: Request) -> None:
    """Refuse what a page of another site sends; a browser always names the origin of a post."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ForeignForm


def local_path(wanted: str) -> str:
    """Return a path of ours; anything that could lead to another host counts as absent."""
    good = wanted.startswith("/") and not wanted.startswith(("//", "/\\", "/login"))
    return wanted if good and wanted.isprintable() else ""


def _proof(secret: bytes) -> bytes:
    return hmac.digest(secret, b"headway form", hashlib.sha256)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
