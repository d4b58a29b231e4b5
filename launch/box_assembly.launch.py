# SPDX-License-Identifier: Apache-2.0
"""Box assembly: `ros2 launch vvf box_assembly.launch.py`, see `--show-args`."""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of the task."""
    return task_launch_description('box_assembly')
