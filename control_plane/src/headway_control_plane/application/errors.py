"""Why a use case can refuse, beside what the domain refuses. Each says what to do next in `hint`."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a request: where (`parameters.region`, `$` for the whole) and what."""

    path: str
    message: str


class UseCaseError(Exception):
    """The request was understood and refused; nothing was appended."""

    code = "refused"

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)


class InvalidRequest(UseCaseError):
    """Values in the request can't be accepted; all problems are listed."""

    code = "invalid_request"


class InvalidParameters(UseCaseError):
    """Parameters do not fit the deployment's schema; all problems are listed."""

    code = "invalid_parameters"


class TooLarge(UseCaseError):
    """Something is over its limit."""

    code = "too_large"


class Missing(UseCaseError):
    """What the request names is not in this workspace."""

    code = "not_found"


class NotAuthenticated(UseCaseError):
    """No credential, or one that does not hold."""

    code = "not_authenticated"
