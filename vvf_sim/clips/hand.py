# SPDX-License-Identifier: Apache-2.0
"""A hand of capsules with a forearm in a sleeve: a puppet without physics.

The hand's frame is at the wrist: x along the stretched fingers, y to the thumb of a right hand, z
out of its back. A left hand is the mirror image at y = 0.
"""

from dataclasses import dataclass

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds.object_kinds import Vector
from vvf_sim.worlds.spec import GHOST

# Opening in m at which the fingers are nearly straight.
WIDEST = 0.09
# Skin from light to dark; a clip draws a place between two neighbours.
SKIN: tuple[Vector, ...] = (
    (0.96, 0.80, 0.69),
    (0.88, 0.67, 0.53),
    (0.74, 0.52, 0.37),
    (0.55, 0.36, 0.24),
    (0.36, 0.23, 0.16),
)

_KNUCKLE_X = 0.088
# Of index, middle, ring and little finger: y of the knuckle, length relative to the middle one's.
_FINGERS = ((0.030, 0.95), (0.010, 1.0), (-0.010, 0.95), (-0.029, 0.8))
_BONES = ((0.042, 0.0092), (0.027, 0.0083), (0.02, 0.0075))
# Angles of a finger's three joints, rad: stretched, closed.
_STRETCHED = np.array([0.2, 0.22, 0.12])
_CLOSED = np.array([1.0, 1.1, 0.65])
_THUMB_AT = np.array([0.026, 0.03, -0.008])
_THUMB_OPEN = np.array([0.042, 0.052, -0.034])
_THUMB_CLOSED = np.array([0.052, -0.012, -0.054])


@dataclass(frozen=True)
class HandLooks:
    """What a person's hand looks like.

    Attributes:
        side: 1 for a right hand, -1 for a left one.
        size: relative to a hand 17 cm long.
        skin: RGB.
        sleeve: RGB; the sleeve begins `bare` metres from the wrist.
        bare: length of forearm without a sleeve.
    """

    side: int
    size: float
    skin: Vector
    sleeve: Vector
    bare: float


class Hand:
    """A hand in a scene.

    Args:
        spec: the scene it is added to, as the bodies `<name>` and `<name>_arm`.
        name: of the hand.
        looks: what it looks like.
    """

    def __init__(self, spec: 'mujoco.MjSpec', name: str, looks: HandLooks) -> None:
        self.name = name
        self.looks = looks
        self._skin = np.array(looks.skin)
        body = spec.worldbody.add_body(name=name, mocap=True)
        self._add_palm(body)
        for finger, (y, length) in enumerate(_FINGERS):
            self._add_finger(body, finger, y, length)
        self._add_thumb(body)
        self._add_forearm(spec.worldbody.add_body(name=f'{name}_arm', mocap=True))

    def index(self, model: 'mujoco.MjModel') -> None:
        """Look up the joints in the compiled scene."""
        names = [f'{self.name}_{f}_{b}' for f in range(len(_FINGERS)) for b in range(len(_BONES))]
        self._angles = np.array([model.joint(n).qposadr[0] for n in names])
        self._thumb = int(model.joint(f'{self.name}_thumb').qposadr[0])

    def pose_fingers(self, qpos: Array, opening: float, pointing: float = 0.0) -> None:
        """Bend the fingers.

        Args:
            qpos: of the whole scene; changed.
            opening: between thumb and finger tips in m.
            pointing: how far the index finger is stretched out of a fist, 0 to 1.
        """
        closed = float(np.clip(1.0 - opening / (WIDEST * self.looks.size), 0.0, 1.0))
        angles = np.tile(_STRETCHED + closed * (_CLOSED - _STRETCHED), (len(_FINGERS), 1))
        # Fingers of one hand are never quite parallel.
        angles *= np.array([0.94, 1.0, 1.05, 1.1])[:, None]
        angles[0] += pointing * (0.4 * _STRETCHED - angles[0])
        qpos[self._angles] = angles.ravel()
        way = _THUMB_OPEN + closed * (_THUMB_CLOSED - _THUMB_OPEN)
        qpos[self._thumb : self._thumb + 4] = turn_of_x(way * [1.0, self.looks.side, 1.0])

    def grasp_point(self, opening: float, power: bool) -> Array:
        """Where in the hand's frame the middle (3,) of what it holds is, in m.

        Args:
            opening: thickness of what is held, m.
            power: whether it lies in the palm (a bottle), not between the finger tips.
        """
        if power:
            return np.array([_KNUCKLE_X, 0.0, -0.016]) * self.looks.size - [0, 0, opening / 2]
        return np.array([0.103, 0.010 * self.looks.side, -0.066]) * self.looks.size

    def _capsule(
        self, body: 'mujoco.MjsBody', start: Array, end: Array, radius: float, shade: float = 1.0
    ) -> 'mujoco.MjsGeom':
        size = self.looks.size
        mirror = np.array([1.0, self.looks.side, 1.0]) * size
        geom = body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[radius * size, 0, 0], **GHOST
        )
        geom.fromto = [*(np.asarray(start) * mirror), *(np.asarray(end) * mirror)]
        geom.rgba = [*np.clip(shade * self._skin, 0.0, 1.0), 1.0]
        return geom

    def _add_palm(self, body: 'mujoco.MjsBody') -> None:
        for y, _ in _FINGERS:
            start = np.array([0.012, 0.55 * y, 0.0])
            self._capsule(body, start, np.array([_KNUCKLE_X, y, 0.0]), 0.0118, 0.98)
        # The balls of thumb and little finger.
        self._capsule(body, np.array([0.02, 0.02, -0.008]), np.array([0.046, 0.03, -0.008]), 0.013)
        self._capsule(
            body, np.array([0.018, -0.016, -0.006]), np.array([0.062, -0.024, -0.006]), 0.012
        )

    def _add_finger(self, hand: 'mujoco.MjsBody', finger: int, y: float, relative: float) -> None:
        size = self.looks.size
        body, place = hand, np.array([_KNUCKLE_X, self.looks.side * y, 0.0]) * size
        for bone, (length, radius) in enumerate(_BONES):
            body = body.add_body(pos=place)
            body.add_joint(name=f'{self.name}_{finger}_{bone}', axis=[0, 1, 0], limited=0)
            end = np.array([length * relative, 0.0, 0.0])
            self._capsule(body, np.zeros(3), end, radius, 1.0 + 0.03 * bone)
            # A joint needs mass below it, and none of this has any.
            body.mass, body.inertia, body.explicitinertial = 0.01, [1e-6] * 3, True
            place = end * size
        nail = body.add_geom(type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=[0.006, 0.005, 0.002])
        nail.size = np.asarray(nail.size) * size
        nail.pos = np.array([0.02 * relative, 0.0, 0.0062]) * size
        nail.rgba = [*np.clip(self._skin * 0.75 + [0.22, 0.17, 0.16], 0.0, 1.0), 1.0]
        nail.contype = nail.conaffinity = 0

    def _add_thumb(self, hand: 'mujoco.MjsBody') -> None:
        mirror = np.array([1.0, self.looks.side, 1.0]) * self.looks.size
        body = hand.add_body(pos=_THUMB_AT * mirror)
        body.add_joint(name=f'{self.name}_thumb', type=mujoco.mjtJoint.mjJNT_BALL, limited=0)
        body.mass, body.inertia, body.explicitinertial = 0.02, [1e-6] * 3, True
        middle = np.array([0.044, 0.0, 0.0])
        self._capsule(body, np.zeros(3), middle, 0.0115)
        self._capsule(body, middle, np.array([0.074, -0.006, 0.0]), 0.0096, 1.03)

    def _add_forearm(self, body: 'mujoco.MjsBody') -> None:
        bare = self.looks.bare
        self._capsule(body, np.zeros(3), np.array([0.05, 0.0, 0.0]), 0.023)
        self._capsule(body, np.array([0.05, 0.0, 0.0]), np.array([bare + 0.05, 0.0, 0.0]), 0.028)
        for start, radius in ((bare, 0.034), (bare + 0.1, 0.039)):
            end = np.array([0.5, 0.0, 0.0])
            geom = self._capsule(body, np.array([start, 0.0, 0.0]), end, radius)
            geom.rgba = [*self.looks.sleeve, 1.0]


def turn_of_x(way: Array) -> Array:
    """The quaternion (w, x, y, z) of the shortest turn that brings x to a direction (3,)."""
    quaternion = np.zeros(4)
    a = np.array([1.0, 0.0, 0.0])
    b = np.asarray(way, np.float64) / max(float(np.linalg.norm(way)), 1e-9)
    quaternion[0] = 1.0 + float(a @ b)
    quaternion[1:] = np.cross(a, b)
    if quaternion[0] < 1e-9:
        return np.array([0.0, 0.0, 0.0, 1.0])
    return np.asarray(quaternion / np.linalg.norm(quaternion))
