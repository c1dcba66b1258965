"""Adds the control plane's verbs to the command `headway`."""

import click

from headway_control_plane.main.verbs import demo, doctor, log, projections, server, up


def register(group: click.Group) -> None:
    """Entry point of the group `headway.commands`."""
    for verbs in (up, demo, server, log, projections, doctor):
        verbs.register(group)
