"""The one line that says what an event is about, the same in UI, command line and API."""

from headway_control_plane.projections.events import summarise


def test_it_says_what_people_look_for_and_no_ids() -> None:
    call = {
        "call": "a0282427e505c879cabdd931c77b1c81",
        "kind": "task",
        "name": "extract",
        "started_at_us": 1795371029819366,
        "outcome": "failed",
        "tries": 2,
        "error": {"error_class": "ValueError", "text_digest": "3c67"},
    }
    assert summarise(call) == "extract failed tries=2 error_class=ValueError"
    assert summarise({"fence": 1, "session": "97e8", "result_size_bytes": 2}) == "fence=1"


def test_an_event_of_ids_alone_needs_no_words() -> None:
    assert summarise({"call": "a028"}) == ""
