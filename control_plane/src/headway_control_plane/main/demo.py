"""`headway demo`: everything started in a folder of its own, the example run, then named checks that all is as it should be."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headway_control_plane.main import demo_checks
from headway_control_plane.main.demo_checks import CheckFailed, Made
from headway_control_plane.main.descendants import Process, descendants, survivors
from headway_control_plane.main.profile import Profile
from headway_control_plane.main.proofs import verify_logs
from headway_control_plane.main.supervisor import Supervisor
from headway_control_plane.main.up import PROGRAM, Installation, Say, up, welcome

EXAMPLES = Path(__file__).parents[1] / "examples"
ENTRYPOINT, DEPLOYMENT = "inventory.flow:inventory", "inventory"
NOT_AS_IT_SHOULD = 1

CHECKS: tuple[tuple[str, Callable[[Made], None]], ...] = (
    ("the run completed", demo_checks.run_completed),
    ("the log shows as many tasks as the inventory counts", demo_checks.tasks_equal_the_inventory),
    ("exactly one task has two tries", demo_checks.one_task_was_retried),
    ("the report is the one whose SHA-256 is in the log", demo_checks.report_is_the_one_in_the_log),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demonstration plays: its parts, the folder of its report, and how it speaks."""

    installation: Installation
    folder: Path
    say: Say
    keep: bool


async def demo(stage: Stage) -> int:
    """Run the parts and, once they serve, the example and the checks; return 0 only when every check held."""
    tours: list[asyncio.Task[bool]] = []
    family: set[Process] = set()

    def begin(supervisor: Supervisor) -> None:
        tours.append(asyncio.create_task(_tour(stage, supervisor, family)))

    code = await up(stage.installation, say=stage.say, on_ready=begin)
    for tour in tours:
        tour.cancel()
    ended = await asyncio.gather(*tours, return_exceptions=True)
    for problem in ended:
        if isinstance(problem, Exception):
            raise problem
    held = bool(ended) and all(result is True for result in ended)
    left = survivors(family)
    if held:
        held = _tell(stage.say, "no process is left over", ", ".join(map(str, left)))
    return code or (0 if held else NOT_AS_IT_SHOULD)


async def _tour(stage: Stage, supervisor: Supervisor, family: set[Process]) -> bool:
    held = False
    try:
        held = await _show(stage)
        return held
    finally:
        family |= descendants(os.getpid())
        if stage.keep and held:
            welcome(stage.installation, stage.say)
        else:
            supervisor.interrupt()


async def _show(stage: Stage) -> bool:
    say = stage.say
    say(f"Deploying the example and running it; its report goes to {stage.folder}")
    if await _headway(stage, "deploy", ENTRYPOINT, "--name", DEPLOYMENT, "--root", str(EXAMPLES)):
        return False
    # Whether the run went well is the first check's question.
    await _headway(stage, "run", DEPLOYMENT, "--param", f"folder={stage.folder}", "--watch")
    profile = Profile.read(stage.installation.profile_path)
    assert profile is not None  # it was written before anything was ready
    found = await asyncio.to_thread(
        Made(profile, "", stage.folder).get, f"/runs?deployment={DEPLOYMENT}&limit=1"
    )
    if not found["items"]:
        say("NOT the run was accepted: see above")
        return False
    made = Made(profile, found["items"][0]["id"], stage.folder)
    say("")
    held = [await asyncio.to_thread(_holds, say, words, check, made) for words, check in CHECKS]
    held.append(await _log_verifies(stage))
    _tell_next_steps(stage, made)
    return all(held)


def _holds(say: Say, words: str, check: Callable[[Made], None], made: Made) -> bool:
    try:
        check(made)
    except (CheckFailed, OSError) as failure:
        return _tell(say, words, str(failure))
    return _tell(say, words, "")


async def _log_verifies(stage: Stage) -> bool:
    proofs = await verify_logs(stage.installation.settings, None, None)
    faults = [str(proof) for proof in proofs if not proof.verified.ok]
    return _tell(stage.say, "the log verifies from its first event to its last", "; ".join(faults))


def _tell(say: Say, words: str, problem: str) -> bool:
    say(f"NOT {words}: {problem}" if problem else f"ok  {words}")
    return not problem


def _tell_next_steps(stage: Stage, made: Made) -> None:
    home = stage.installation.settings.home
    stage.say("")
    stage.say(f"Report: {made.report}")
    if stage.keep:
        stage.say(f"UI:     {made.profile.url}/runs/{made.run}")
        stage.say("Try, in another terminal:")
    else:
        stage.say(
            f"UI:     {made.profile.url}/runs/{made.run} (serves until Ctrl-C with: headway demo --keep)"
        )
        stage.say("Try, while `headway demo --keep` runs:")
    for words in ("runs ls", f"runs logs {made.run[:13]}", "log verify"):
        stage.say(f"  HEADWAY_HOME={home} headway {words}")


async def _headway(stage: Stage, *words: str) -> int:
    """Run a command of the public command line with this terminal, as a person would."""
    environment = {**os.environ, "HEADWAY_HOME": str(stage.installation.settings.home)}  # noqa: TID251  # the child's, whole
    environment.pop("HEADWAY_API_URL", None)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, env=environment, stdin=subprocess.DEVNULL
    )
    return await process.wait()
