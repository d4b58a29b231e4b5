# SPDX-License-Identifier: Apache-2.0
"""What can be chosen about a recording; known to the graph, too, which opens no bag."""

RECORDERS = ('vvf', 'rosbag2')
"""Who records: our own recorder, or `ros2 bag record`."""
IMAGES = ('raw', 'compressed')
"""Cameras as the task says, or all of them as JPEG."""
