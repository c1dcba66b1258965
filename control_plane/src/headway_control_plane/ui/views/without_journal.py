"""What is said before a run goes on without its journal."""

from headway_control_plane.projections.run_view import RunView


def without_journal(run: RunView) -> str:
    """What is executed again when a run no longer waits for the agent that has its journal."""
    done = run.tasks.done if run.tasks else 0
    also = f", the {done:,} call{'s' if done > 1 else ''} that ended well too" if done else ""
    return (
        f"Agent {run.home.name if run.home else ''} has the journal. Another agent executes everything again{also}: artifacts, metrics and "
        "events are told again, and people are asked again what they answered. Runs that it started are found, not started again; "
        "where agents share a cache, what tasks have there is used. A store of results alone changes nothing."
    )
