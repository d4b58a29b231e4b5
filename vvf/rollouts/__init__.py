# SPDX-License-Identifier: Apache-2.0
"""Tries policies in simulation, faster than real time and without ROS."""

from vvf.rollouts.job import Rollout, RolloutJob
from vvf.rollouts.rates import wilson
from vvf.rollouts.run import roll_out

__all__ = ['Rollout', 'RolloutJob', 'roll_out', 'wilson']
