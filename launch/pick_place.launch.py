# SPDX-License-Identifier: Apache-2.0
"""Pick-and-place: `ros2 launch vvf pick_place.launch.py`, see `--show-args`."""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of the task."""
    return task_launch_description('pick_place')
