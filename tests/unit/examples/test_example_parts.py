"""Parts of the example projects that are worth a look of their own, and their flows as the plain functions they are."""

import sys
from datetime import date
from pathlib import Path

import pytest

from headway.errors import NotInRun

EXAMPLES = Path(__file__).parents[3] / "examples"
PROJECTS = {"approval", "etl_duckdb", "many_files", "partial_failure", "training"}


@pytest.fixture(autouse=True)
def _examples_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [n for n in sys.modules if n.split(".")[0] in PROJECTS]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("place", "degrees"),
    [
        ("+5230+01322", (52.5, 13.3667)),
        ("-345433-0561245", (-34.9092, -56.2125)),
        ("+0000+00000", (0.0, 0.0)),
    ],
)
def test_places_become_degrees(place, degrees):
    from etl_duckdb.flow import coordinates

    assert coordinates(place) == degrees


@pytest.mark.parametrize("place", ["", "+5230", "+5230+013221", "5230+01322", "+52.5+13.3"])
def test_what_is_no_place_is_refused(place):
    from etl_duckdb.flow import coordinates

    with pytest.raises(ValueError, match="is no place like"):
        coordinates(place)


def test_zones_that_must_not_be_loaded():
    from etl_duckdb.flow import ZoneOfDay, check

    def zone(**changed):
        berlin = {"country": "DE", "name": "Europe/Berlin", "latitude": 52.5, "longitude": 13.4}
        return ZoneOfDay(**{**berlin, "offset_h": 1.0, "summer_h": 0.0, **changed})

    check({"DE": "Germany"}, [zone()])
    with pytest.raises(ValueError, match=r"does not have: XX"):
        check({"DE": "Germany"}, [zone(), zone(country="XX")])
    with pytest.raises(ValueError, match="impossible offsets from UTC: Moon/Sea"):
        check({"DE": "Germany"}, [zone(name="Moon/Sea", offset_h=27.3)])


def test_flows_are_plain_functions(tmp_path):
    from etl_duckdb.flow import load_zones
    from many_files.flow import fingerprint
    from partial_failure.flow import survey

    (tmp_path / "a.py").write_text("def f(): ...\n")
    (tmp_path / "b.py").write_text("(")
    assert load_zones(date(2026, 1, 22), tmp_path / "zones.duckdb")["zones"] > 300
    assert survey(tmp_path, tolerated=0.5)["failed"] == ["b.py"]
    assert fingerprint(tmp_path / "manifest.csv", tmp_path, limit=2)["files"] == 2


def test_without_a_run_nobody_can_be_asked_and_nothing_is_deleted(tmp_path):
    from approval.flow import free_space

    file = tmp_path / "big"
    file.write_bytes(bytes(10))
    assert free_space(tmp_path, at_least=11) == "nothing of 11 bytes or more"
    with pytest.raises(NotInRun, match="Start it with `headway run`"):
        free_space(tmp_path, at_least=10)
    assert file.exists()
