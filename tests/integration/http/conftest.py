"""The fixture `api` for the tests of this folder."""

from support.http_server import api

__all__ = ["api"]
