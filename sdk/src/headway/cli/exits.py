"""Exit codes, for scripts. Documented in `headway --help`."""

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    ERROR = 1
    USAGE = 2
    REFUSED = 3
    NOT_LOGGED_IN = 4
    UNREACHABLE = 5
    FAILED = 10
    CRASHED = 11
    CANCELLED = 12
    TIMED_OUT = 13


OF_STATE = {
    "completed": Exit.OK,
    "failed": Exit.FAILED,
    "crashed": Exit.CRASHED,
    "cancelled": Exit.CANCELLED,
}

HELP = """\b
Exit codes:
  0  done; of a run that was waited for: completed
  1  an error that none of the others describes
  2  wrong usage
  3  not there, or refused
  4  not logged in
  5  the control plane cannot be reached
  10 the run failed     11 it crashed
  12 it was cancelled   13 waited long enough (--timeout)
"""
