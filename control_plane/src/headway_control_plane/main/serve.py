"""`headway server start`: the process around the control plane."""

import asyncio
from importlib.metadata import version

import uvloop

from headway_control_plane.db.migrate import require_current
from headway_control_plane.main.compose import control_plane
from headway_control_plane.main.lifecycle import run_until_stopped
from headway_control_plane.observability.logging import configure_logging
from headway_control_plane.observability.telemetry import configure_telemetry
from headway_control_plane.settings import Settings

_SERVICE = "headway-control-plane"


def serve(settings: Settings, *, lifeline: int | None, ready: int | None) -> None:
    """Serve until told to stop. The schema is checked first: a wrong one is a message, not a stream of errors."""
    configure_logging(settings.log_format, settings.log_level)
    end_telemetry = configure_telemetry(
        _SERVICE, version(_SERVICE), otlp_endpoint=settings.otlp_endpoint
    )
    require_current(settings.migration_url)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                run_until_stopped(
                    control_plane(settings),
                    drain_timeout=settings.drain_timeout,
                    lifeline=lifeline,
                    ready=ready,
                )
            )
    finally:
        end_telemetry()
