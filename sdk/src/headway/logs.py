"""Logging of runs. In a run, every record of the standard logging module goes to the run's log lines."""

import logging


def get_run_logger() -> logging.Logger:
    """The logger of flows and tasks.

    In a run its lines show with the call they were written in; outside a run it is an ordinary logger named
    `"headway.run"`. Any other logger does as well: what reaches the root logger is kept.
    """
    return logging.getLogger("headway.run")
