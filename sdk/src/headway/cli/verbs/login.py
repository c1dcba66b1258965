"""`headway login` and `headway whoami`."""

import sys

import click

from headway.cli.client import Client
from headway.cli.output import json_option, print_fields, print_json
from headway.cli.settings import Profile, load_profile, save_profile


@click.command()
@click.argument("url")
@click.option("--key-stdin", is_flag=True, help="Read the API key from standard input.")
def login(url: str, key_stdin: bool) -> None:
    """Keep URL and an API key as your profile, after trying them.

    The key is asked for, never an argument: every user of the machine can read those.
    """
    key = (
        sys.stdin.readline().strip()
        if key_stdin
        else click.prompt("API key", hide_input=True, err=True)
    )
    profile = Profile(url.rstrip("/"), key.strip())
    who = Client(profile).get("/whoami")
    path = save_profile(profile)
    click.echo(f"Logged in to the workspace {who['workspace']['name']} at {profile.url} ({path}).")


@click.command()
@json_option
def whoami(output: str) -> None:
    """Show the control plane, the workspace and the key in use."""
    profile = load_profile()
    who = Client(profile).get("/whoami")
    if output == "json":
        print_json({"url": profile.url, **who})
        return
    print_fields(
        [("url", profile.url), ("workspace", who["workspace"]["name"]), ("key", who["name"])]
    )
