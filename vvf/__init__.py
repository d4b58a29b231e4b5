# SPDX-License-Identifier: Apache-2.0
"""Video value functions for robots: the ROS 2 nodes, the bags and the command line."""

__version__ = '0.1.0'
