"""What every tier has in common."""

from __future__ import annotations

import signal

# A script's background ignores Ctrl-C, nohup a closed terminal, and all that they start inherits that. Some tests
# send both signals.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
