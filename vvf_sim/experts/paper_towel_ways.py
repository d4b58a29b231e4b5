# SPDX-License-Identifier: Apache-2.0
"""Where there is room on the table, and how a hand gets level: for the paper-towel expert."""

from collections.abc import Sequence

import numpy as np

from vvf_sim.rotations import Array, rotation_exp, rotation_log
from vvf_sim.worlds.mount import MountedArm, gripper_down

# Where a hand is turned level, m.
TURN_HEIGHT = 0.18


def easiest_level(arm: MountedArm, place: Array) -> Array:
    """Rotation (3, 3) of a level hand, pointing left or right, that is easy to turn to.

    Easy is what takes no sudden turns of joints on the way there from a hand that points down:
    which side that is differs between arms, for elbows fold to one side.

    Args:
        arm: that turns.
        place: (x, y) in m where it is to be level.
    """
    levels = [np.array([[0.0, -s, 0.0], [s, 0.0, 0.0], [0.0, 0.0, 1.0]]) for s in (1.0, -1.0)]
    return min(levels, key=lambda level: _largest_turn(arm, place, level))


def _largest_turn(arm: MountedArm, place: Array, level: Array) -> float:
    """Largest turn of a joint between ten steps to a level hand, rad; much if it is not reached."""
    down = gripper_down(float(np.arctan2(level[1, 0], level[0, 0])))
    whole = rotation_log(level @ down.T)
    largest, joints = 0.0, arm.over(np.append(place, TURN_HEIGHT), 0.0)[:-1]
    for step in range(11):
        pose = np.eye(4)
        pose[:3, :3] = rotation_exp(step / 10 * whole) @ down
        pose[:3, 3] = [*place, TURN_HEIGHT]
        found = arm.kinematics.inverse(arm.to_base(pose), joints)
        if step:
            largest = max(largest, float(np.abs(found.q - joints).max()))
        largest += 100.0 * found.position_error
        joints = found.q
    return largest


def room(place: Array, others: Sequence[Array]) -> float:
    """Distance in m from a place (2,) to the nearest of others."""
    return min(float(np.linalg.norm(place - other)) for other in others)


def place_beside(middle: Array, others: Sequence[Array], rng: np.random.Generator) -> Array:
    """A place (2,) 7 to 10 cm from a middle that has much room and is in reach."""
    angles, reaches = rng.uniform(-np.pi, np.pi, 30), rng.uniform(0.07, 0.1, 30)
    ways = reaches[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = [p for p in middle + ways if 0.2 < p[0] < 0.38 and abs(p[1]) < 0.24]
    return max(places, key=lambda place: room(place, others))


def roomy_way(
    middle: Array, run_up: float, others: Sequence[Array], rng: np.random.Generator
) -> Array:
    """A direction (2,) in which a middle can be run over from `run_up` m away."""
    best, most = np.array([0.0, 1.0]), 0.0
    for angle in rng.uniform(-np.pi, np.pi, 24):
        way = np.array([np.cos(angle), np.sin(angle)])
        ends = [middle - run_up * way, middle + 0.04 * way]
        if not all(0.16 < x < 0.42 and abs(y) < 0.28 for x, y in ends):
            continue
        least = min(room(end, others) for end in ends)
        if least > most:
            best, most = way, least
    return best
