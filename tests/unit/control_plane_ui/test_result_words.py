"""Where a result lies, in words."""

from headway_control_plane.projections.attempts import ResultView
from headway_control_plane.ui.views.run_page import result_copy, result_place, result_words

DIGEST = "ab" * 32


def view(**changes) -> ResultView:
    given = {"codec": "numpy.ndarray", "size_bytes": 300_000, "digest": DIGEST, "reference": DIGEST}
    return ResultView(**{**given, "preview": None, **changes})


def test_a_value_with_the_agent():
    assert "with the agent that made it (abababababab…)" in result_place(view())
    assert result_words(view()) == result_place(view())


def test_a_value_in_the_store_has_its_whole_reference():
    place = f"s3://bucket/x/ab/{DIGEST}"
    assert result_place(view(reference=place)).endswith(place)
    assert result_place(view(reference=place)).startswith("numpy.ndarray, ")


def test_what_the_pool_withholds_and_what_could_not_be_kept():
    assert "stays in your network" in result_place(view(codec="", digest="", reference=""))
    assert "could not be kept" in result_place(view(codec="none", size_bytes=0))
    assert (result_words(None), result_place(None)) == ("", "")


def test_a_preview_is_the_value_itself():
    assert result_words(view(preview="[1, 2]")) == "[1, 2]"
    assert result_copy(view(preview="[1, 2]")) == "[1, 2]"
    assert result_copy(view(reference="s3://x")) == "s3://x"
    assert result_copy(None) == ""
