"""A flow of every shape of call: each execution of a step leaves its name in `log`; the step named in `broken` fails."""

from __future__ import annotations

from pathlib import Path

from headway import flow, task, wait


@task
def step(log: str, broken: str, name: str, *inputs: object) -> str:
    with Path(log).open("a") as file:
        file.write(f"{name}\n")
    if Path(broken).read_text() == name:
        raise ValueError(f"{name} is broken")
    return name


def named(name: str):
    return step.with_options(name=name)


@flow
def part(log: str, broken: str) -> str:
    return named("s1")(log, broken, "s1") + named("s2")(log, broken, "s2")


@flow
def pipeline(log: str, broken: str, version: int = 1) -> str:
    a = named("a")(log, broken, "a")
    b = named("b").submit(log, broken, "b", a)
    wait([b])  # so that what began later is the same in each run
    both = part(log, broken)
    c = named("c").submit(log, broken, "c", b)
    return named("d")(log, broken, "d", c.result(), both, version)
