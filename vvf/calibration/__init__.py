# SPDX-License-Identifier: Apache-2.0
"""Camera calibrations at rest: the YAML that ROS's camera_info tools read and write."""

from vvf.calibration.camera_info import camera_info_fields

__all__ = ['camera_info_fields']
