# SPDX-License-Identifier: Apache-2.0
"""What child processes have in common."""

from __future__ import annotations

import os
import signal
import sys

#: Exit code of an error that the user can mend: starting the process again would not help.
USER_ERROR = 2


def end_with_parent() -> None:
    """Ask the kernel to interrupt this process when its parent dies: none is orphaned."""
    if sys.platform == 'linux':
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGINT)
        if os.getppid() == 1:  # it died before the request
            raise SystemExit(0)
