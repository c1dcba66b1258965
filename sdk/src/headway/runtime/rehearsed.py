"""What is executed in a rehearsal: a user's module, imported anew each time."""

from headway import flow


@flow
def nothing() -> None:
    """What most flows do besides is theirs."""
