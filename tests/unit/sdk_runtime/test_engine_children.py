"""The calls that a call has submitted, looked at while they end."""

from typing import Any, cast

from headway.context import Call, Engine
from headway.futures import Future
from headway.runtime.base_calls import raise_unseen


def test_children_may_leave_while_they_are_looked_at() -> None:
    call = Call(cast("Engine", None), "k", "root", "flow", "f", on_loop=False)

    class Leaves(Future[Any]):
        """Another thread takes it off the set, now."""

        def unseen_error(self) -> BaseException | None:
            assert call.children is not None
            call.children.discard(self)
            return super().unseen_error()

    call.children = {Leaves() for _ in range(10)}
    raise_unseen(call)
    assert not call.children
