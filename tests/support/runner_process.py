"""An agent of runner alone, as a process of its own to be killed: `python -m support.runner_process STATE MARKS COUNT`.

Grants itself COUNT attempts at once and prints a line when each was started.
"""

import asyncio
import sys
from pathlib import Path

from headway_agent.runner.api import Assignment
from support.runners import agent, assignment


def grants(marks: Path, count: int) -> list[Assignment]:
    return [assignment("mark", run=f"run-{n}", path=str(marks / str(n))) for n in range(count)]


async def main(state: Path, marks: Path, count: int) -> None:
    async with agent(state) as one:

        async def start(grant: Assignment) -> None:
            await one.runner.start(grant)
            print(grant.key.run, flush=True)

        await asyncio.gather(*(start(grant) for grant in grants(marks, count)))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
