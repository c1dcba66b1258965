"""`headway demo`: everything started in a folder of its own, the example run, then named checks that all is as it should be."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headway_control_plane.main import demo_checks
from headway_control_plane.main.demo_checks import REPORT, CheckFailed, Made
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

    stage.say(f"Starting everything in a folder of its own: {stage.installation.settings.home}")
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
        if not stage.keep:
            _tell_next_steps(stage)
    return code or (0 if held else NOT_AS_IT_SHOULD)


async def _tour(stage: Stage, supervisor: Supervisor, family: set[Process]) -> bool:
    held = False
    try:
        held = await _show(stage)
        return held
    finally:
        family |= descendants(os.getpid())
        if not (stage.keep and held):
            supervisor.interrupt()


async def _show(stage: Stage) -> bool:
    say = stage.say
    say("")
    say(
        "Taking stock of this Python environment with the example flow. Its first task fails once, on purpose."
    )
    deploy = ("deploy", ENTRYPOINT, "--name", DEPLOYMENT, "--root", str(EXAMPLES))
    if await _headway(stage, *deploy, quiet=True):
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
    say("What the log says of it:")
    held = [await asyncio.to_thread(_holds, say, words, check, made) for words, check in CHECKS]
    held.append(await _log_verifies(stage))
    if stage.keep and all(held):
        _tell_what_serves(stage, made)
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
    say(f"  NOT {words}: {problem}" if problem else f"  ok  {words}")
    return not problem


def _tell_what_serves(stage: Stage, made: Made) -> None:
    """Say where to look while everything goes on serving."""
    home = stage.installation.settings.home
    welcome(stage.installation, stage.say, f"/runs/{made.run}")
    stage.say(f"  report     {made.report}")
    stage.say("Try, in another terminal:")
    for words in ("runs ls", f"runs logs {made.run[:13]}", "log verify"):
        stage.say(f"  HEADWAY_HOME={home} {spoken()} {words}")


def _tell_next_steps(stage: Stage) -> None:
    """Say where to go from here, now that all of it has ended."""
    stage.say("")
    stage.say(f"Report: {stage.folder / REPORT}")
    stage.say("Next:")
    for words, effect in (
        ("demo --keep", "the same, and then the browser: its timeline, its log"),
        ("up", "Headway for your own flows, in this folder"),
        ("--help", "everything else"),
    ):
        stage.say(f"  {spoken()} {words:<12} {effect}")


def spoken() -> str:
    """Return how this command is called from here: `headway` where the shell finds it, else by its path."""
    ours = Path(sys.executable).parent / "headway"
    if not ours.exists() or shutil.which("headway") == str(ours):
        return "headway"
    return str(ours.relative_to(Path.cwd())) if ours.is_relative_to(Path.cwd()) else str(ours)


async def _headway(stage: Stage, *words: str, quiet: bool = False) -> int:
    """Run a command of the public command line with this terminal, as a person would.

    `quiet` holds back its advice, which is for people who have just typed it, unless it failed.
    """
    environment = {**os.environ, "HEADWAY_HOME": str(stage.installation.settings.home)}  # noqa: TID251  # the child's, whole
    environment.pop("HEADWAY_API_URL", None)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE if quiet else None,
    )
    _, advice = await process.communicate()
    if advice and process.returncode:
        stage.say(advice.decode(errors="replace").rstrip())
    return process.returncode or 0
