# SPDX-License-Identifier: Apache-2.0
"""Value models and policies for robots: torch only, no ROS and no simulator."""

__version__ = '0.1.0'
