"""Makes time pass for the cores: renewals, dials, deadlines. Ends last, so that the lease outlives all else."""

from headway_agent.core import cancel, session
from headway_agent.loops.hub import Hub
from headway_agent.loops.waiting import wait_for


class RenewLoop:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def run(self) -> None:
        hub = self._hub
        while True:
            hub.time_changed.clear()
            at = hub.due_at()
            timeout = None if at is None else at - hub.clock.boottime()
            if timeout is None or timeout > 0:
                await wait_for(hub.time_changed, timeout)
            if at is not None and hub.clock.boottime() >= at:
                hub.tell_session(session.Tick())
                hub.tell_cancels(cancel.Tick())
                # The runner tells of facts and lines; that a process is gone at last may only show here.
                hub.look()
