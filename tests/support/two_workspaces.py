"""Two workspaces on one server. The second one is full of words that the first must never be served."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from uuid import UUID

from headway_control_plane.application.api_keys import issue_api_key
from headway_control_plane.application.bootstrap import bootstrap
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.credential_store import CredentialStore
from headway_control_plane.domain.streams import Blob
from headway_control_plane.projections.catalogue import RowCatalogue
from headway_control_plane.projections.reading import Reads
from support.ui_server import UiServer
from support.ui_world import Script, World, call_key

# What a stranger may guess and search for; the rest of each word is the secret.
BAIT = "bait"


@dataclass
class Neighbour:
    """The other workspace: ways to fill it, and all that must stay in it."""

    world: World
    token: str
    secret: str
    run: UUID = field(init=False)
    deployment: UUID = field(init=False)
    script: Script = field(init=False)

    def word(self, kind: str) -> str:
        return f"{BAIT}-{kind}-{self.secret}"

    @property
    def deployment_name(self) -> str:
        return self.word("deployment")

    @property
    def ids(self) -> list[UUID]:
        world = self.world
        assert world.agent is not None
        assert world.session is not None
        return [self.run, self.deployment, world.pool, world.agent, world.session]

    def found_in(self, served: bytes, *asked: str) -> list[str]:
        """What of this workspace is in an answer, beyond what the question itself held."""
        text = served.decode(errors="replace")
        for known in asked:
            text = text.replace(known, "")
        words = [self.secret, *(form for each in self.ids for form in (str(each), each.hex))]
        return [word for word in words if word in text]


async def found_neighbour(server: UiServer) -> Neighbour:
    """Found it beside the server's own workspace and fill it: a run that failed with its story, on an agent that goes on."""
    database, log, ids = server.database, server.world.log, server.world.new_id
    secret = secrets.token_hex(8)
    made = await bootstrap(
        log,
        RowCatalogue(Reads(database)),
        ids,
        workspace=f"{BAIT}-workspace-{secret}",
        pool=f"{BAIT}-pool-{secret}",
        permits=("name",),
    )
    key = await issue_api_key(
        CredentialStore(database),
        secrets.token_bytes,
        SystemClock(),
        made.workspace.ws,
        name=secret,
    )
    world = World(log, made.workspace.ws, made.pool.pool, ids, server.database_url)
    neighbour = Neighbour(world, key.text, secret)
    await _fill(neighbour)
    return neighbour


async def _fill(neighbour: Neighbour) -> None:
    world, word = neighbour.world, neighbour.word
    await world.enrol(word("agent"))
    neighbour.deployment = await world.deploy(
        neighbour.deployment_name,
        word("flow"),
        description=word("description"),
        tags=(word("tag"),),
        environment=word("environment"),
        entrypoint=f"{word('module')}:main",
        defaults=Blob.of(b'{"region": "%s"}' % word("default").encode()),
    )
    script = await world.start(
        neighbour.deployment_name,
        name=word("run"),
        tags=[word("tag")],
        parameters={"region": word("parameter")},
    )
    neighbour.run, neighbour.script = script.run, script
    error = ("RuntimeError", word("message"), [{"file": word("file"), "user": True}])
    script.call(word("task"), 0, 1, "failed", error=error)
    script.say(0.5, word("line"), "ERROR", call=call_key(word("task")))
    await script.send()
    await world.create(neighbour.deployment_name, name=word("waiting-run"))
