"""What can be wrong with a database, each with the step that helps."""


class DatabaseProblem(Exception):
    """Something is wrong with the database or its server; the message ends with the next step."""

    def __init__(self, what: str, *, next_step: str) -> None:
        super().__init__(f"{what}\n{next_step}")
        self.what = what
        self.next_step = next_step


class BinariesNotFound(DatabaseProblem):
    """No usable PostgreSQL programs on this machine."""


class OwnedElsewhere(DatabaseProblem):
    """Another process keeps this PostgreSQL running."""


class ForeignMajor(DatabaseProblem):
    """The data was written by another major version of PostgreSQL."""


class NoUnprivilegedUser(DatabaseProblem):
    """PostgreSQL refuses to run as root and there is no way down from it here."""


class ServerFailed(DatabaseProblem):
    """PostgreSQL could not be initialised or did not come up."""


class UnsupportedServer(DatabaseProblem):
    """The server is too old."""


class SchemaTooNew(DatabaseProblem):
    """The database was migrated by newer code than this."""


class SchemaTooOld(DatabaseProblem):
    """The database has not been migrated to what this code needs."""


class CannotConnect(DatabaseProblem):
    """The server cannot be reached, or not in the role that this part of the program needs."""
