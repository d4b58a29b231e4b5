# SPDX-License-Identifier: Apache-2.0
"""Where a camera's frames come from: a V4L2 device or a video file."""

from vvf.sources.base import Frame, FrameSource
from vvf.sources.device import CameraMode, DeviceSource
from vvf.sources.video import VideoSource

__all__ = ['CameraMode', 'DeviceSource', 'Frame', 'FrameSource', 'VideoSource']
