# SPDX-License-Identifier: Apache-2.0
"""pytest plug-in that puts the process's environment right before any test imports ROS.

pyproject.toml names it with `-p`, which pytest obeys before it captures output: the process may
have to restart itself, and that would lose what is captured.
"""

from vvf import environment

environment.ensure()
