# SPDX-License-Identifier: Apache-2.0
"""What child processes and their parents have in common."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

#: Exit code of an error that the user can mend: starting the process again would not help.
USER_ERROR = 2
#: Tells a child which process started it, so that it ends with that one and with no other.
PARENT = 'VVF_PARENT'


def end_with_parent() -> None:
    """Ask the kernel to interrupt this process when the one named in `VVF_PARENT` dies.

    Without that variable nothing is done: a node that a launch file, a container or a service
    manager starts belongs to them.
    """
    parent = os.environ.get(PARENT)
    if sys.platform != 'linux' or not parent:
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGINT)
    if os.getppid() != int(parent):  # it died before the request
        raise SystemExit(0)


def terminate_as_interrupt() -> None:
    """Treat SIGTERM like Ctrl-C, so that a service manager's stop parks the arm, too."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
