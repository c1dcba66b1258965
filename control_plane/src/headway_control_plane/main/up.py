"""`headway up`: PostgreSQL, the control plane and an agent on this machine, kept running until Ctrl-C."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import psycopg

from headway_control_plane.application.ports import Unavailable
from headway_control_plane.clock import SystemClock
from headway_control_plane.db.embedded import EmbeddedPostgres, find_binaries
from headway_control_plane.db.errors import DatabaseProblem
from headway_control_plane.db.migrate import migrate
from headway_control_plane.main.agents_seen import connected_agents
from headway_control_plane.main.launch import CannotPrepare, Launch, Part
from headway_control_plane.main.ports import require_free_ports, with_chosen_ports
from headway_control_plane.main.profile import Profile, write_private
from headway_control_plane.main.supervision import Patience
from headway_control_plane.main.supervisor import Supervisor
from headway_control_plane.settings import Settings, child_environment

POSTGRES, CONTROL_PLANE, AGENT = "PostgreSQL", "control plane", "agent"
UNAVAILABLE = (DatabaseProblem, psycopg.Error, Unavailable)
PROGRAM = (sys.executable, "-m", "headway.cli.main")

Say = Callable[[str], None]


class Access(Protocol):
    """Makes sure of the workspace and the pool of this machine, and hands out the ways in. Harmless to repeat."""

    async def api_token(self, known: str | None) -> str: ...

    async def enrolment_token(self) -> str: ...


# Marks of the agents' present connections.
Connected = Callable[[Profile, Path | None], Awaitable[frozenset[str]]]
MakeAccess = Callable[[Settings], Access]


@dataclass(frozen=True, slots=True)
class Installation:
    """The parts of one home and how they are started."""

    settings: Settings
    root: Path
    access: Access
    postgres: EmbeddedPostgres | None
    program: tuple[str, ...] = PROGRAM
    connected: Connected = connected_agents

    @property
    def profile_path(self) -> Path:
        return self.settings.home / "profile.json"

    @property
    def agent_home(self) -> Path:
        return self.settings.home / "agent"

    @property
    def enrolment_file(self) -> Path:
        return self.settings.home / "enrolment-token"

    def parts(self) -> list[Part]:
        """Return the parts in the order in which they start."""
        database = [Part(POSTGRES, self._prepare_postgres)] if self.postgres else []
        return [
            *database,
            Part(CONTROL_PLANE, self._prepare_control_plane),
            Part(AGENT, self._prepare_agent, self._forget_enrolment),
        ]

    async def _prepare_postgres(self) -> Launch:
        assert self.postgres is not None
        postgres = self.postgres
        try:
            await asyncio.to_thread(postgres.prepare)
        except DatabaseProblem as problem:
            raise CannotPrepare(str(problem)) from problem

        async def takes_connections() -> bool:
            return postgres.is_ready()

        return Launch(
            command=lambda _lifeline, _ready: postgres.command(),
            log=postgres.log,
            lifeline_is_stdin=True,
            is_ready=takes_connections,
            kill_signal=signal.SIGQUIT,  # to its watchdog, which must not die before it
        )

    async def _prepare_control_plane(self) -> Launch:
        try:
            if self.postgres is not None:
                await asyncio.to_thread(self.postgres.create_database)
            await asyncio.to_thread(migrate, self.settings.migration_url)
            known = Profile.read(self.profile_path)
            token = await self.access.api_token(known.token if known else None)
        except UNAVAILABLE as problem:
            raise CannotPrepare(str(problem)) from problem
        Profile(self.settings.http_url, token).write(self.profile_path)
        start = [*self.program, "server", "start"]
        return Launch(
            command=lambda lifeline, ready: [
                *start,
                f"--lifeline-fd={lifeline}",
                f"--ready-fd={ready}",
            ],
            log=self.settings.home / "log" / "control-plane.log",
            environment=child_environment(self.settings),
        )

    async def _prepare_agent(self) -> Launch:
        try:
            write_private(self.enrolment_file, await self.access.enrolment_token())
        except UNAVAILABLE as problem:
            raise CannotPrepare(str(problem)) from problem
        before = await self._connections()

        async def has_connected() -> bool:
            return bool(await self._connections() - before)

        server = ["--server", self.settings.grpc_url, "--state-dir", str(self.agent_home)]
        code = ["--root", str(self.root), "--token-file", str(self.enrolment_file)]
        start = [*self.program, "agent", "start", *server, *code]
        return Launch(
            command=lambda lifeline, _ready: [*start, "--parent-fd", str(lifeline)],
            log=self.settings.home / "log" / "agent.log",
            environment=child_environment(self.settings),
            is_ready=has_connected,
            ask_every=0.1,
        )

    async def _connections(self) -> frozenset[str]:
        profile = Profile.read(self.profile_path)
        assert profile is not None, "the control plane was prepared first"
        return await self.connected(profile, self.settings.tls_certificate)

    async def _forget_enrolment(self) -> None:
        self.enrolment_file.unlink(missing_ok=True)


def install(settings: Settings, root: Path, make_access: MakeAccess) -> Installation:
    """Claim the home and check all that can be checked before anything is started."""
    settings = with_chosen_ports(settings)
    if settings.database_url:
        require_free_ports(settings)
        return Installation(settings, root, make_access(settings), None)
    postgres = EmbeddedPostgres(settings.home, find_binaries(settings.postgres_bin))
    try:
        require_free_ports(settings)
        local = replace(settings, database_url=postgres.url())
        return Installation(local, root, make_access(local), postgres)
    except BaseException:
        postgres.release()
        raise


async def up(
    installation: Installation,
    *,
    say: Say,
    on_ready: Callable[[Supervisor], None] | None = None,
    patience: Patience | None = None,
) -> int:
    """Run all parts until Ctrl-C or TERM; return the exit code.

    `on_ready` is called once, when everything answers, in place of the words that tell a person so.
    """

    def ready() -> None:
        if on_ready is None:
            welcome(installation, say)
        else:
            on_ready(supervisor)

    supervisor = Supervisor(
        installation.parts(),
        clock=SystemClock(),
        tell=lambda name, news: say(f"{name} {news}"),
        on_ready=ready,
        patience=patience,
    )
    _interrupt_on_signals(supervisor, say)
    try:
        return await supervisor.run()
    finally:
        if installation.postgres is not None:
            installation.postgres.release()


def _interrupt_on_signals(supervisor: Supervisor, say: Say) -> None:
    times = 0

    def on_signal() -> None:
        nonlocal times
        times += 1
        say("Stopping. Press Ctrl-C again to stop at once." if times == 1 else "Stopping at once.")
        supervisor.interrupt()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)


def welcome(installation: Installation, say: Say, page: str = "") -> None:
    """Say where everything is and how it is stopped.

    The address signs its reader in, with the token of the profile. It goes to the terminal, never to a log file of ours.
    """
    settings = installation.settings
    profile = Profile.read(installation.profile_path)
    assert profile is not None, "the control plane was prepared first"
    say("")
    say(f"Headway is ready: {profile.sign_in_url(page)}")
    say("             (this address signs you in: keep it to yourself)")
    say(f"  agent      runs flows under {installation.root}")
    say(f"  data, logs {settings.home}")
    say("  stop       Ctrl-C")
