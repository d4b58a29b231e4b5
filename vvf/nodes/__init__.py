# SPDX-License-Identifier: Apache-2.0
"""ROS nodes: they translate messages to calls into the core and back, and do not think."""
