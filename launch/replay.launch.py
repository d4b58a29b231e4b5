# SPDX-License-Identifier: Apache-2.0
"""Replay a bag into live nodes: `ros2 launch vvf replay.launch.py bag:=DIR`."""

from vvf.launching import replay_launch_description


def generate_launch_description():
    """The value, episode, plot and replay nodes."""
    return replay_launch_description()
