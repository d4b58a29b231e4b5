# SPDX-License-Identifier: Apache-2.0
"""The arm's line goes through the joints of the real one and ends between its fingers."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from vvf.nodes.value_markers import ValueMarkers
from vvf.viz.arm_lines import LINES, arm_line, finger_lines
from vvf_sim.robots.arm import ARMS, arm_model

# Between the points of the line, m: from the vendors' drawings.
LENGTHS = {
    'wx250s': [0.11065, 0.25, 0.04975, 0.25, 0.158575],
    'fer': [0.333, 0.316, 0.0825, 0.0825, 0.384, 0.088, 0.107, 0.1034],
    'fr3': [0.333, 0.316, 0.0825, 0.0825, 0.384, 0.088, 0.107, 0.1034],
}


@pytest.mark.parametrize('name', ARMS)
def test_the_line_bends_and_ends_where_the_arm_does(name: str) -> None:
    arm = arm_model(name)
    names, line = LINES[name]
    assert names == arm.joint_names
    for q in np.random.default_rng(1).uniform(arm.lower, arm.upper, (5, len(names))):
        points = line(q)
        assert points == pytest.approx(arm_line(arm, q))
        assert points[-1] == pytest.approx(arm.kinematics().forward(q)[:3, 3])
        assert np.linalg.norm(np.diff(points, axis=0), axis=1) == pytest.approx(LENGTHS[name])


@pytest.mark.parametrize('name', ARMS)
def test_the_fingers_lie_on_both_sides_of_the_tip(name: str) -> None:
    arm = arm_model(name)
    tip = arm.kinematics().forward(arm.home)
    left, right = finger_lines(arm, arm.home, arm.finger_range[1])
    between = (left[-1] + right[-1]) / 2
    assert between == pytest.approx(tip[:3, 3] + arm.tip_reach * tip[:3, 0])
    assert left[-1] - right[-1] == pytest.approx(2 * arm.finger_range[1] * tip[:3, 1])
    assert left[0] == pytest.approx(right[0])


@pytest.mark.parametrize('name', ARMS)
def test_rviz_is_given_every_arm(name: str) -> None:
    line = LINES[name][1](arm_model(name).home)
    markers = ValueMarkers(10).message(Time(), None, line).markers
    drawn = {marker.ns: marker for marker in markers if marker.action == marker.ADD}
    assert len(drawn['arm'].points) == len(LENGTHS[name]) + 1
    assert len(drawn['joints'].points) == len(LENGTHS[name])
    assert drawn['arm'].header.frame_id == 'base_link'
