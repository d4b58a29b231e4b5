# SPDX-License-Identifier: Apache-2.0
"""Opening a microwave: `ros2 launch vvf open_microwave.launch.py`, see `--show-args`."""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of the task."""
    return task_launch_description('open_microwave')
