"""Ties settings to pieces of work: import and update, and what a named person decides.

The command line and the server start here; the pieces know nothing of settings.
"""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process


def end_with_parent(*, ignored: tuple[signal.Signals, ...] = ()) -> None:
    """Let this process not outlive the one that it works for, which may be killed, and not hear these signals."""

    def wait() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
        os._exit(1)

    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=wait, daemon=True).start()
