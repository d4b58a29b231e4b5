# SPDX-License-Identifier: Apache-2.0
"""Cameras and arm of a table, to be calibrated: `ros2 launch vvf calibrate.launch.py rig:=MINE`.

Nothing drives the arm but a human. While it runs, `vvf calibrate intrinsics /front/image_raw ...`
takes its views from a camera's topic; recorded episodes feed `vvf calibrate handeye --bag`.
"""

from vvf.launching import task_launch_description


def generate_launch_description():
    """The graph of a task without models, with teleoperation."""
    return task_launch_description(
        'pick_place',
        sim='false',
        value_model='none',
        policy='none',
        teleop='keyboard',
    )
