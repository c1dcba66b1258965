"""Adds the control plane's verbs to the command `headway`."""

import click

from headway_control_plane.main.verbs import demo, projections, server, up


def register(group: click.Group) -> None:
    """Entry point of the group `headway.commands`."""
    for verbs in (up, demo, server, projections):
        verbs.register(group)
