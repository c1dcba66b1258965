"""The verbs of a client: what people do with runs, deployments and the log, through the REST API."""

import click

from headway.cli.lazy import LazyVerb, add_lazily

_VERBS = {
    "deploy": LazyVerb("headway.cli.verbs.deploy:deploy", "Make a flow runnable."),
    "run": LazyVerb("headway.cli.verbs.run:run", "Start a run of a deployment."),
    "runs": LazyVerb("headway.cli.verbs.runs:runs", "List, show, follow, cancel runs."),
    "deployments": LazyVerb(
        "headway.cli.verbs.deployments:deployments", "List and show deployments."
    ),
    "artifacts": LazyVerb(
        "headway.cli.verbs.artifacts:artifacts", "List and show what runs saved for people."
    ),
    "events": LazyVerb("headway.cli.verbs.events:events", "Read and follow the log."),
    "agents": LazyVerb(
        "headway.cli.verbs.agents:agents", "List agents, make tokens to enrol them."
    ),
    "pools": LazyVerb("headway.cli.verbs.pools:pools", "List and create pools."),
    "variables": LazyVerb(
        "headway.cli.verbs.variables:variables", "List, show, set and unset variables."
    ),
    "cache": LazyVerb(
        "headway.cli.verbs.cache:cache", "Look into and clear results that tasks share."
    ),
    "migrate": LazyVerb("headway.cli.verbs.migrate:migrate", "Come from another engine."),
    "login": LazyVerb("headway.cli.verbs.login:login", "Choose the control plane to talk to."),
    "whoami": LazyVerb("headway.cli.verbs.login:whoami", "Show where you are logged in."),
}


def register(group: click.Group) -> None:
    """Entry point of the group `headway.commands`."""
    add_lazily(group, _VERBS)
