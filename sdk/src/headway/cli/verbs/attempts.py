"""What lists of one attempt have in common."""

import click

from headway.cli.client import Client


def hint_at_others(client: Client, run: str) -> None:
    """Beside a list of the newest attempt: that there are others. What they completed is not executed again, and stands there."""
    newest = client.get(f"/runs/{run}")["attempt"] or 0
    if newest > 1:
        earlier = "1" if newest == 2 else f"1 to {newest - 1}"
        click.echo(f"This is attempt {newest}, the newest. Earlier: --attempt {earlier}", err=True)
