"""Refusals are said over and over, for as long as the process lives."""

import gc
import weakref

import pytest

from headway_control_plane.grpc_api import refusals
from headway_control_plane.grpc_api.refusals import CallRefused, Refusal


class Stream:
    """Whatever lives in the frame that refuses."""


def refuse(refusal: Refusal) -> weakref.ref[Stream]:
    stream = Stream()
    try:
        raise CallRefused(refusal)
    except CallRefused:
        return weakref.ref(stream)


@pytest.mark.parametrize("refusal", [*refusals.CUTS.values(), refusals.SHUTDOWN])
def test_a_refusal_keeps_nothing_of_those_whom_it_was_said_to(refusal: Refusal) -> None:
    refused = refuse(refusal)
    gc.collect()
    assert refused() is None
