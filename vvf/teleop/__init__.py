# SPDX-License-Identifier: Apache-2.0
"""Teleoperation without ROS: keys, gamepads and leader arms to the steps of a task's action.

Nothing here has a clock of its own: `now` is handed in, in seconds of a clock that never jumps.
"""
