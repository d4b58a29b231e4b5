# SPDX-License-Identifier: Apache-2.0
"""Pants folding, with two arms: `ros2 launch vvf pants_folding.launch.py`, see `--show-args`."""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of the task."""
    return task_launch_description('pants_folding')
