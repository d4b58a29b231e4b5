# SPDX-License-Identifier: Apache-2.0
"""pytest plug-in that puts the process's environment right before any test imports ROS.

pyproject.toml names it with `-p`, which pytest obeys before it captures output: the process may
have to restart itself, and that would lose what is captured.

The messages of robot makers that `make setup` builds for the stand-ins in `tests/vendors` are seen
by tests and by the processes that they start, and by nothing else.
"""

import sys
from pathlib import Path

from vvf import environment

VENDORS = Path(sys.prefix) / 'vendors'

environment.ensure([VENDORS])
