# SPDX-License-Identifier: Apache-2.0
"""Robots as primitive-shape MuJoCo models with their published kinematics."""
