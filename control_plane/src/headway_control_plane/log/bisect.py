"""Finds the one thing that the database, or a decider, cannot take, so that nothing beside it suffers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from psycopg import errors

from headway_control_plane.application.ports import AttemptVerdict, FactsResult, FactsVerdict
from headway_control_plane.domain.errors import AlreadyExists, InvalidArgument
from headway_control_plane.log.facts import PreparedFacts
from headway_control_plane.log.items import CommandItem, FactsItem, Item, poisoned

_PUT_OFF = timedelta(seconds=10)


def isolate(item: Item, error: Exception, *, theirs: bool = True) -> Sequence[Item]:
    """Take an item that cannot be appended as it is: return smaller ones to try, or answer it and return none.

    `theirs`: the item's content is to blame, so that it will never do. If not, a row of ours may be: its facts are asked for again.
    """
    if isinstance(item, CommandItem):
        if not item.future.done():
            item.future.set_exception(_refusal(error))
        return ()
    if len(item.attempts) > 1:
        return _split(item, [[facts] for facts in item.attempts], _side_by_side)
    facts = item.attempts[0]
    if not theirs:
        if not item.future.done():
            item.future.set_result(FactsResult((_put_off(facts),), None))
        return ()
    if len(facts) > 1:
        half = len(facts) // 2
        return _split(
            item, [[facts.part(0, half)], [facts.part(half, len(facts))]], _one_after_another
        )
    if not item.future.done():
        item.future.set_result(FactsResult((poisoned(facts, _reason(error)),), None))
    return ()


def _put_off(facts: PreparedFacts) -> AttemptVerdict:
    return AttemptVerdict(
        facts.run,
        facts.fence,
        FactsVerdict.RETRY,
        facts.first_seq - 1,
        "The control plane can't take these facts at present; the reason stands in its log.",
        retry_after=_PUT_OFF,
    )


def _refusal(error: Exception) -> Exception:
    if isinstance(error, errors.UniqueViolation):
        return AlreadyExists(
            "The name is taken by another. Choose another name, or use the one that is there.",
            constraint=error.diag.constraint_name,
        )
    if isinstance(error, errors.DataError | errors.IntegrityError):
        return InvalidArgument(f"A value can't be stored: {error.diag.message_primary or error}")
    return error


def _reason(error: Exception) -> str:
    if isinstance(error, errors.DatabaseError):
        return f"the fact can't be stored: {error.diag.message_primary or type(error).__name__}"
    return f"the fact can't be carried out: {type(error).__name__}"


Merge = Callable[[Sequence[FactsResult]], FactsResult]


def _split(
    item: FactsItem, parts: Sequence[list[PreparedFacts]], merge: Merge
) -> Sequence[FactsItem]:
    """Make an item of each part; when all are answered, so is the whole."""
    loop = asyncio.get_running_loop()
    children = [
        FactsItem(item.ws, loop.create_future(), part, item.actor, item.traceparent)
        for part in parts
    ]
    waiting = len(children)

    def answered(_: asyncio.Future[FactsResult]) -> None:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            _answer(item, children, merge)

    for child in children:
        child.future.add_done_callback(answered)
    return children


def _answer(item: FactsItem, children: Sequence[FactsItem], merge: Merge) -> None:
    failures = [error for child in children if (error := child.future.exception()) is not None]
    if item.future.done():
        return
    if failures:
        # What a part appended stays; the agent sends again and finds it known.
        item.future.set_exception(failures[0])
    else:
        item.future.set_result(merge([child.future.result() for child in children]))


def _side_by_side(results: Sequence[FactsResult]) -> FactsResult:
    verdicts = tuple(verdict for result in results for verdict in result.attempts)
    return FactsResult(verdicts, _newest_witness(results).witness)


def _one_after_another(results: Sequence[FactsResult]) -> FactsResult:
    """Join the verdicts over parts of one attempt: the first that is not OK speaks, for what follows it is only a gap."""
    verdicts = [result.attempts[0] for result in results]
    verdict: AttemptVerdict = next(
        (v for v in verdicts if v.verdict is not FactsVerdict.OK), verdicts[-1]
    )
    return FactsResult((verdict,), _newest_witness(results).witness)


def _newest_witness(results: Sequence[FactsResult]) -> FactsResult:
    return max(results, key=lambda result: result.witness.cursor.offset if result.witness else -1)
