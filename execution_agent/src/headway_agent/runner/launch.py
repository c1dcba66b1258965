"""Getting one attempt started: environment, start.json, template, supervisor."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway_agent.clock import Clock
from headway_agent.runner import environments, faults, secrets, start_file, variables
from headway_agent.runner.attempt import Attempt
from headway_agent.runner.processes import ProcessId
from headway_agent.runner.state_dir import StateDir
from headway_agent.runner.template import Kind, Options, Templates, child_env
from headway_agent.runner.wake import socket_path


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """`base_env` is the agent's own environment. `template_arguments`, `start_extra` (more fields of start.json) and
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


class Launcher:
    """Starts attempts through the templates."""

    def __init__(self, state_dir: StateDir, options: LaunchOptions, clock: Clock) -> None:
        self._dir = state_dir
        self._options = options
        self._wake_path = socket_path(state_dir.path)
        arguments = (
            *options.template_arguments,
            *(["--allow-faults"] if options.fault_file else []),
        )
        self._templates = Templates(Options(state_dir.logs, arguments), clock)

    async def launch(self, attempt: Attempt) -> ProcessId:
        """Gives the supervisor. Raises Refused, SpawnRefused or TemplateLost."""
        fault = faults.take(self._options.fault_file)
        kind = await asyncio.to_thread(self._prepare, attempt, fault)
        faults.reached("before_spawn", fault)
        process = await self._templates.spawn(kind, attempt.run_dir)
        faults.reached("after_spawn", fault)
        return process

    async def close(self) -> None:
        await self._templates.close()

    def _prepare(self, attempt: Attempt, fault: Mapping[str, Any]) -> Kind:
        """Checks that the attempt may run and writes its start.json."""
        assignment = attempt.assignment
        file = self._options.environments_file
        environment = environments.find(
            file, assignment.environment, assignment.entrypoint, self._options.roots
        )
        env = child_env(self._options.base_env) | environments.read_env_file(environment.env_file)
        start = start_file.content(
            assignment,
            environment,
            env=env,
            journal=start_file.journal_of(assignment, self._dir.runs),
            store=self._dir.store,
            wake=self._wake_path,
            result_max=self._options.result_max,
            # Equal in a whole line of runs: a call has one key in all of them.
            salt=self._dir.salt(
                assignment.lineage[0].run if assignment.lineage else assignment.key.run
            ),
            secret_variables=secrets.variables_in(env, environment.secrets),
        )
        variables.give(self._dir.variables, attempt.run_dir)
        extra = dict(self._options.start_extra) | ({"fault": dict(fault)} if fault else {})
        start_file.write(attempt.run_dir, start | extra)
        return Kind(environment, env, file.stat().st_mtime_ns)
