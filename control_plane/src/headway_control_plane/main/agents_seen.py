"""Which agents the control plane has connected, asked as anybody would ask: through the REST API."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from headway_control_plane.main.profile import Profile

_TIMEOUT = 5.0


async def connected_agents(profile: Profile, certificate: Path | None = None) -> frozenset[str]:
    """Return a mark for each connection of an agent; a new connection has a new mark.

    Empty while the API does not answer: it is started again by then, and asked again.
    """
    try:
        return await asyncio.to_thread(_ask, profile, certificate)
    except (urllib.error.URLError, OSError):
        return frozenset()


def _ask(profile: Profile, certificate: Path | None) -> frozenset[str]:
    request = urllib.request.Request(  # noqa: S310  # our own URL, from the settings
        f"{profile.url}/api/v1/agents", headers={"Authorization": f"Bearer {profile.token}"}
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT, context=_trust(certificate)) as answer:  # noqa: S310
        agents = json.load(answer)["items"]
    return frozenset(
        f"{agent['id']} {agent['connected_since']}"
        for agent in agents
        if agent["status"] == "connected"
    )


def _trust(certificate: Path | None) -> ssl.SSLContext | None:
    """Trust the server's own certificate, which need not name the loopback address."""
    if certificate is None:
        return None
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context
