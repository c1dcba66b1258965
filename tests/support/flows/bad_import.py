"""Cannot be imported."""

from headway import flow

raise RuntimeError("no licence for this module")


@flow
def never() -> None: ...
