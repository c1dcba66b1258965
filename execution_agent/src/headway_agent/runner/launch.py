"""Getting one attempt started: environment, start.json, template, supervisor."""

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from headway_agent.clock import Clock
from headway_agent.runner import environments, faults, secrets, start_file, variables
from headway_agent.runner.api import Assignment, AttemptKey
from headway_agent.runner.attempt import Attempt
from headway_agent.runner.pairs import Code, PairLost, Pairs
from headway_agent.runner.processes import ProcessId
from headway_agent.runner.state_dir import StateDir
from headway_agent.runner.template import Kind, Options, Templates, child_env
from headway_agent.runner.wake import cache_socket_path, socket_path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """`base_env` is the agent's own environment, `idle_us` how long a kept process waits for a run. `template_arguments`, `start_extra` (more fields of start.json) and
    `fault_file` (see `faults`) are for tests.
    """

    environments_file: Path
    roots: Sequence[Path]
    base_env: Mapping[str, str]
    template_arguments: tuple[str, ...] = ()
    start_extra: Mapping[str, Any] = field(default_factory=dict)
    fault_file: Path | None = None
    result_max: int = 1 << 30
    """Bytes of one result's encoded value."""
    has_store: bool = False
    """Of values, by a URL: runs get there what others returned, and stay here until their own values are there."""
    idle_us: int = 60_000_000


class Plan(NamedTuple):
    """How an attempt is to be started. `code`: what processes may be kept for it; None: none."""

    kind: Kind
    start: Mapping[str, Any]
    code: Code | None


class Launcher:
    """Starts attempts: in a process that was kept for them, or through the templates."""

    def __init__(self, state_dir: StateDir, options: LaunchOptions, clock: Clock) -> None:
        self._dir = state_dir
        self._options = options
        self._child_env = child_env(options.base_env)
        self._wake_path = socket_path(state_dir.path)
        arguments = (
            *options.template_arguments,
            *(["--allow-faults"] if options.fault_file else []),
        )
        self.pool = ""
        """Of the identity under which the agent is connected."""
        self._pairs = Pairs()
        self._prepared: dict[AttemptKey, asyncio.Future[Plan | None]] = {}
        self._templates = Templates(Options(state_dir.logs, arguments), clock)

    def prepare(self, attempt: Attempt) -> None:
        """Begins with what may be done while the grant is not yet on record; `launch` goes on with it, `drop` gives it up."""
        loop = asyncio.get_running_loop()
        self._prepared[attempt.key] = loop.run_in_executor(None, self._prepare_first, attempt)

    def drop(self, key: AttemptKey) -> None:
        prepared = self._prepared.pop(key, None)
        if prepared is not None and not prepared.cancel() and not prepared.cancelled():
            prepared.exception()  # nobody needs to know any more

    async def launch(self, attempt: Attempt) -> ProcessId:
        """Gives the supervisor. Raises Refused, SpawnRefused or TemplateLost."""
        fault = faults.take(self._options.fault_file)
        prepared = self._prepared.pop(attempt.key, None)
        plan = None if prepared is None else await prepared
        if plan is None:
            plan = await asyncio.to_thread(self._prepare, attempt)
        if fault:
            plan = plan._replace(start={**plan.start, "fault": dict(fault)})
        faults.reached("before_spawn", fault)
        process = await self._hand_over(attempt, plan) or await self._fork(attempt, plan)
        faults.reached("after_spawn", fault)
        return process

    def may_signal(self, attempt: Attempt) -> bool:
        """Whether a signal to its supervisor reaches this attempt, and not a later one of a kept process."""
        return self._pairs.may_signal(attempt.supervisor, attempt.key)

    async def close(self) -> None:
        self._pairs.close()
        await self._templates.close()

    async def _hand_over(self, attempt: Attempt, plan: Plan) -> ProcessId | None:
        """To a process that was kept for this code, if there is one that takes it."""
        while plan.code is not None and (pair := self._pairs.take(plan.code)) is not None:
            try:
                return await pair.start(attempt.key, attempt.run_dir, plan.start)
            except PairLost as lost:
                self._pairs.end(pair)
                log.info("attempt %s/%s gets a new process: %s", *attempt.key, lost)
            except BaseException:
                self._pairs.end(pair)
                raise
        return None

    async def _fork(self, attempt: Attempt, plan: Plan) -> ProcessId:
        await asyncio.to_thread(start_file.write, attempt.run_dir, plan.start)
        template = await self._templates.of(plan.kind)
        if plan.code is None:
            return await template.spawn(attempt.run_dir)
        if not template.keeps:
            log.info(
                "attempt %s/%s gets a process of its own: headway %s of environment %r does not know isolation = reuse; upgrade it",
                *attempt.key,
                template.ready.get("sdk"),
                plan.kind.environment.name,
            )
            return await template.spawn(attempt.run_dir)
        ours, theirs = socket.socketpair()
        pair = self._pairs.begin(ours, template, plan.code, attempt.key)
        try:
            process = await template.spawn(attempt.run_dir, theirs)
        except BaseException:
            self._pairs.end(pair)
            raise
        finally:
            theirs.close()
        self._pairs.name(pair, process)
        return process

    def _prepare_first(self, attempt: Attempt) -> Plan | None:
        """None where there is a directory already: what lies in it may be in use, so its files are looked at first."""
        return None if attempt.run_dir.exists() else self._prepare(attempt)

    def _prepare(self, attempt: Attempt) -> Plan:
        """Checks that the attempt may run, and makes its directory."""
        assignment = attempt.assignment
        file = self._options.environments_file
        environment = environments.find(
            file, assignment.environment, assignment.entrypoint, self._options.roots
        )
        env = self._child_env | environments.read_env_file(environment.env_file)
        start = start_file.content(
            assignment,
            environment,
            env=env,
            journal=start_file.journal_of(assignment, self._dir.runs),
            store=self._dir.store,
            wake=self._wake_path,
            result_max=self._options.result_max,
            has_store=self._options.has_store,
            shared_cache=cache_socket_path(self._dir.path) if self._options.has_store else None,
            # Equal in a whole line of runs: a call has one key in all of them.
            salt=self._dir.salt(
                assignment.lineage[0].run if assignment.lineage else assignment.key.run
            ),
            secret_variables=secrets.variables_in(env, environment.secrets),
            idle_us=self._options.idle_us,
        )
        variables.give(self._dir.variables, attempt.run_dir)
        kind = Kind(environment, env, file.stat().st_mtime_ns)
        start |= {"pool": self.pool, **self._options.start_extra}
        return Plan(kind, start, _code(assignment, kind))


def _code(assignment: Assignment, kind: Kind) -> Code | None:
    if assignment.isolation != "reuse":
        return None
    return Code(
        kind,
        assignment.env,
        assignment.entrypoint.partition(":")[0],
        assignment.code_hash,
        assignment.max_runs_per_process,
        assignment.max_memory_mb,
    )
