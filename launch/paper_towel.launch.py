# SPDX-License-Identifier: Apache-2.0
"""Paper towels onto their holder: `ros2 launch vvf paper_towel.launch.py`, see `--show-args`."""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of the task."""
    return task_launch_description('paper_towel')
