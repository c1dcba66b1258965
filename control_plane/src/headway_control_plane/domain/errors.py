"""Why a command can be refused. A class stands for a reaction of the caller; facts are attributes; the message says what to do."""

from __future__ import annotations


class Refused(Exception):
    """The command was not carried out and nothing was appended."""

    code = "refused"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class NotFound(Refused):
    """The command names something that is not in this workspace."""

    code = "not_found"


class AlreadyExists(Refused):
    """The name or id is taken by something else."""

    code = "already_exists"


class Conflict(Refused):
    """What the caller had read has changed: read again and decide again."""

    code = "conflict"


class InvalidState(Refused):
    """The thing is in a state in which this is not possible."""

    code = "invalid_state"


class InvalidArgument(Refused):
    """A value can't be accepted."""

    code = "invalid_argument"


class StaleFence(Refused):
    """A newer grant exists: whoever reports under the old one has lost the run."""

    code = "stale_fence"


class StaleShard(Refused):
    """Another replica owns the shard by now."""

    code = "stale_shard"


class IllegalTransition(Exception):
    """A decider produced an event that the transition table does not allow: a defect, never a user's mistake."""
