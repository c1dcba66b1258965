"""Journal keys: calls that are not equal never share one, equal ones are told apart by their order, and order is all."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from headway.context import Call, Engine
from headway.digests import call_key, stable_digest

ARGUMENTS = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.text(max_size=2), st.floats(0, 1)),
    max_size=2,
)
CALLS = st.lists(st.tuples(st.sampled_from(["load", "save"]), ARGUMENTS), max_size=30)


def keys(calls: list[tuple[str, dict[str, Any]]]) -> list[str]:
    parent = Call(cast("Engine", None), "root", "root", "flow", "main", on_loop=False)
    made = []
    for name, arguments in calls:
        digest = stable_digest(arguments)
        assert digest is not None
        made.append(call_key("root", name, digest, parent.next_ordinal(name, digest)))
    return made


@given(CALLS)
def test_no_two_calls_share_a_key_and_another_attempt_makes_the_same(calls):
    assert len(set(keys(calls))) == len(calls)
    assert keys(calls) == keys(calls)


@given(CALLS, st.data())
def test_a_call_put_in_between_changes_the_keys_of_none_but_its_equals(calls, data):
    place = data.draw(st.integers(0, len(calls)))
    name, arguments = data.draw(st.tuples(st.sampled_from(["load", "save"]), ARGUMENTS))
    longer = [*calls[:place], (name, arguments), *calls[place:]]
    assert set(keys(calls)) <= set(keys(longer))
    others = [key for key, call in zip(keys(calls), calls, strict=True) if call[0] != name]
    still = [key for key, call in zip(keys(longer), longer, strict=True) if call[0] != name]
    assert others == still
