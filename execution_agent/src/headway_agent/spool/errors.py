"""What can be wrong with agent.db. The messages say what to do."""


class SpoolFault(Exception):
    """agent.db can't be used now."""


class NewerDatabase(SpoolFault):
    """A newer agent wrote it."""
