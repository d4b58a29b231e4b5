# SPDX-License-Identifier: Apache-2.0
"""Sweeping beans: `ros2 launch vvf sweep_beans.launch.py`, see `--show-args`."""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of the task."""
    return task_launch_description('sweep_beans')
