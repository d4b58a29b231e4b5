# SPDX-License-Identifier: Apache-2.0
"""Opening a window: `ros2 launch vvf window_open.launch.py`, see `--show-args`."""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of the task."""
    return task_launch_description('window_open')
