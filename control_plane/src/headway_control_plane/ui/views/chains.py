"""Ranges that follow each other and are of one name, as one line: a large map is reported as hundreds of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from headway_control_plane.projections.tasks import Task, TaskPage


@dataclass(frozen=True, slots=True)
class Chain:
    """A line of the list: a call or a range, or many ranges told as one. `last_offset`: where the last of them stands."""

    task: Task
    last_offset: int
    ranges: int = 1

    def with_next(self, task: Task) -> Chain:
        """Return the chain with one more range."""
        told = self.task
        size = sum(int((each.result or {}).get("size_bytes", 0)) for each in (told, task))
        ends = [each.ended_at for each in (told, task) if each.ended_at is not None]
        longest = [each.longest for each in (told, task) if each.longest is not None]
        merged = replace(
            told,
            calls=told.calls + task.calls,
            started_at=min(told.started_at, task.started_at),
            ended_at=max(ends, default=None),
            median=None,
            longest=max(longest, default=None),
            result={**(told.result or {}), "size_bytes": size},
        )
        return Chain(merged, task.first_offset, self.ranges + 1)


def chains(tasks: Iterable[Task]) -> list[Chain]:
    """Tell what lies side by side as one."""
    found: list[Chain] = []
    for task in tasks:
        if found and task.is_range and found[-1].task.is_range and are_alike(found[-1].task, task):
            found[-1] = found[-1].with_next(task)
        else:
            found.append(Chain(task, task.first_offset))
    return found


def first_lines(page: TaskPage, most: int) -> TaskPage:
    """Return the first lines of a page of calls, and behind which offset the list goes on."""
    found = chains(page.items)
    shown = found[:most]
    more = bool(shown) and (len(found) > len(shown) or page.next is not None)
    return TaskPage(tuple(chain.task for chain in shown), shown[-1].last_offset if more else None)


def are_alike(one: Task, other: Task) -> bool:
    """Return whether they are calls of one name in one place that went alike."""
    return (one.parent, one.kind, one.name, one.status) == (
        other.parent,
        other.kind,
        other.name,
        other.status,
    )
