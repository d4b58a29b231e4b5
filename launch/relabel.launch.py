# SPDX-License-Identifier: Apache-2.0
"""Relabel a bag live: `ros2 launch vvf relabel.launch.py bag:=DIR value_model:=DIR rate:=4`.

The bag goes through the live nodes at the given pace and is recorded again, with the values of the
given model. `vvf relabel` does the same to many bags without nodes, and faster.
"""

from vvf.launching import replay_launch_description


def generate_launch_description():
    """The nodes of a replay, recording to runs/relabelled."""
    return replay_launch_description(bag_dir='runs/relabelled')
