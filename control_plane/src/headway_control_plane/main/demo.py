"""`headway demo`: everything started in a folder of its own, then named checks that it does what it should."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from headway_control_plane.main.agents_seen import connected_agents
from headway_control_plane.main.profile import Profile
from headway_control_plane.main.supervisor import Supervisor
from headway_control_plane.main.up import Installation, Say, up, welcome

NOT_AS_IT_SHOULD = 1


class CheckFailed(Exception):
    """Something is not as it should be; the message says what."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, in words; `hold` raises CheckFailed when it does not."""

    words: str
    hold: Callable[[Installation], Awaitable[None]]


async def _agent_is_connected(installation: Installation) -> None:
    profile = Profile.read(installation.profile_path)
    if profile is None or not await connected_agents(
        profile, installation.settings.tls_certificate
    ):
        raise CheckFailed("the control plane lists no connected agent")


CHECKS = (Check("the control plane answers and lists this machine's agent", _agent_is_connected),)


async def demo(
    installation: Installation, *, keep: bool, say: Say, checks: Sequence[Check] = CHECKS
) -> int:
    """Run the parts and, once they serve, the checks; return 0 only when every check held."""
    tours: list[asyncio.Task[bool]] = []

    def begin(supervisor: Supervisor) -> None:
        tours.append(
            asyncio.create_task(_tour(installation, supervisor, keep=keep, say=say, checks=checks))
        )

    code = await up(installation, say=say, on_ready=begin)
    for tour in tours:
        tour.cancel()
    ended = await asyncio.gather(*tours, return_exceptions=True)
    held = bool(ended) and all(result is True for result in ended)
    return code or (0 if held else NOT_AS_IT_SHOULD)


async def _tour(
    installation: Installation,
    supervisor: Supervisor,
    *,
    keep: bool,
    say: Say,
    checks: Sequence[Check],
) -> bool:
    held = False
    try:
        held = await _hold_all(installation, checks, say)
        return held
    finally:
        if keep and held:
            welcome(installation, say)
        else:
            supervisor.interrupt()


async def _hold_all(installation: Installation, checks: Sequence[Check], say: Say) -> bool:
    for check in checks:
        try:
            await check.hold(installation)
        except CheckFailed as failure:
            say(f"NOT {check.words}: {failure}")
            return False
        say(f"ok  {check.words}")
    return True
