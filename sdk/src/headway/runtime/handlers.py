"""Signal handlers, got and set as the standard library's `signal` does, without an enum made of each handler.

An attempt sets three and a kept process looks at all of them after each: with the enums that is 50 us, and 4 without.
"""

import signal
from _signal import getsignal as get_handler  # type: ignore[import-not-found]
from _signal import signal as set_handler

DEFAULT, IGNORE = int(signal.SIG_DFL), int(signal.SIG_IGN)

__all__ = ["DEFAULT", "IGNORE", "get_handler", "set_handler"]
