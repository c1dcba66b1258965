"""The language of filters: the box of the runs page, `?filter=` of the REST API and `--filter` of the command are read here."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headway_control_plane.application.bulk import BulkAction
from headway_control_plane.application.errors import InvalidRequest
from headway_control_plane.application.run_search import (
    quoted,
    read_search,
    split_words,
    states_for,
)
from headway_control_plane.domain.run.state import RunStatus
from headway_control_plane.ui.zones import read_zone

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RUN = UUID("01a20452-06ba-734e-9cca-25cf0fe5bfd9")


def problems(text: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read_search(text, NOW)
    assert all(problem.path == "filter" for problem in refused.value.problems)
    return "; ".join(problem.message for problem in refused.value.problems)


def test_keys_are_taken_out_and_the_rest_is_text() -> None:
    found = read_search(
        f'late flow:"nightly etl" tag:a tag:b deployment:hourly id:01a2 parent:{RUN} state:failed thing',
        NOW,
    )
    assert (found.flow, found.deployment, found.tags) == ("nightly etl", "hourly", ("a", "b"))
    assert (found.prefix, found.parent, found.states) == ("01a2", RUN, (RunStatus.FAILED,))
    assert found.text == "late thing"
    assert found.words == tuple(split_words(" ".join(found.words)))


@pytest.mark.parametrize(
    ("text", "looked_for"),
    [
        ("nightly", "nightly"),
        ('"etl:daily" x', "etl:daily x"),
        ("'stat:running'", "stat:running"),
        ("text:etl:daily", "etl:daily"),
        (r"two\ words tag:a", "two words"),
        ('"" tag:a', ""),
        ("http://warehouse:5432", "http://warehouse:5432"),
        ("", ""),
    ],
)
def test_words_without_a_key_and_quoted_ones_are_text(text: str, looked_for: str) -> None:
    assert read_search(text, NOW).text == looked_for


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stat:running", "Did you mean state:? There are deployment:, flow:, id:"),
        ("xyz:1", "no filter. There are"),
        ("flo:", "Did you mean flow:?"),
        ("state:runing", "runing is no state. Did you mean running?"),
        ("tag:", "names nothing: write tag:VALUE"),
        ('"open', "quotation"),
        ("parent:01a2", "no whole id"),
        ("id:xyz", "no beginning of an id"),
        ("id:---", "no beginning of an id"),
        ("since:yesterday", "neither an instant"),
        ("since:999999d", "neither an instant"),
        ("since:1h until:2h", "later than since"),
        ("flow:a\x00b", "NUL"),
        ("state:runing xyz:1", "no filter"),
    ],
)
def test_what_is_misspelt_is_refused_with_what_to_write(text: str, told: str) -> None:
    assert told in problems(text)


def test_times_are_ago_or_instants_in_the_readers_zone() -> None:
    berlin = read_zone("Europe/Berlin")
    assert berlin is not None
    found = read_search("since:24h until:2026-11-23T10:00", NOW, berlin.info)
    assert found.since == NOW - timedelta(hours=24)
    assert found.until == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert read_search("since:2026-11-23T10:00Z", NOW, berlin.info).since == NOW.replace(hour=10)


@pytest.mark.parametrize("value", ["plain", "two words", 'a "quote"', r"back\slash", "it's"])
def test_what_is_quoted_is_read_as_it_was(value: str) -> None:
    assert read_search(f"flow:{quoted(value)}", NOW).flow == value


def test_an_action_takes_the_states_that_it_applies_to() -> None:
    assert states_for((), None) == ()
    assert RunStatus.CANCELLING not in states_for((), BulkAction.CANCEL)
    assert states_for((), BulkAction.RESUME) == (
        RunStatus.FAILED,
        RunStatus.CRASHED,
        RunStatus.CANCELLED,
    )
    with pytest.raises(InvalidRequest, match="completed cannot be cancelled") as refused:
        states_for((RunStatus.COMPLETED,), BulkAction.CANCEL)
    assert "state: takes scheduled" in refused.value.problems[0].message
