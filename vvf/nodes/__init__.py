# SPDX-License-Identifier: Apache-2.0
"""ROS nodes: they translate messages to calls into the core and back, and do not think."""

import signal
import sys

if sys.argv[0] == '-m':
    # A node's own process, while it still imports: a stop that comes so early needs no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
