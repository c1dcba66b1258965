"""The REST API over one kept connection: what is measured is the server, not connecting."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


class Client:
    def __init__(self, url: str, token: str) -> None:
        where = urlsplit(url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", data, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        assert response.status < 400, f"{method} {path}: {response.status} {content!r}"
        return json.loads(content)

    def close(self) -> None:
        self._connection.close()
