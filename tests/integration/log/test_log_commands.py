"""Commands through the committer, on a real database."""

import pytest

pytest_plugins = ()
pytestmark = pytest.mark.postgres


async def test_a_run_goes_from_created_to_completed(fleet, database):
    from support.log_fixtures import calls, exited, started

    run = await fleet.granted_run()
    verdict = await fleet.report(run, 1, 1, [started(), *calls(1, 3), exited()])
    assert (verdict.verdict, verdict.last_seq) == ("ok", 5)
    with database.connect() as connection:
        row = connection.execute("SELECT status, version, session FROM run").fetchone()
        assert row == ("completed", 4, None)
        assert connection.execute("SELECT count(*) FROM slot").fetchone() == (0,)
