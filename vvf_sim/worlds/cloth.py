# SPDX-License-Identifier: Apache-2.0
"""A garment as a MuJoCo flex: how it is built, how it is held, how it lies.

Physics: vertices are point masses on three slides, the flex resists stretching and bending by
MuJoCo's shell elasticity, which wants its ``discrete`` integrator and is stable with it at 10 ms,
and it collides with itself (without friction) and with the table.

Pinch model: nothing is held by friction. When the fingers close, the vertices that are then
between their tips are tied to the gripper by equality constraints at the places that they have,
and let go when the fingers open; vertices below the tips are left, so that a high grip takes the
upper layers only. Fingers go through cloth otherwise. Contact of two pads with vertices that are
20 mm apart would hold by chance.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds.cloth_garments import Garment
from vvf_sim.worlds.cloth_texture import Fabric, coordinates, picture
from vvf_sim.worlds.domain import HIDDEN_GROUP

# Seconds of a physics step.
TIME_STEP = 0.01
# Half the thickness that layers keep from each other, and the table.
RADIUS = 0.002
MASS = 0.03
_ELASTICITY = {'young': 4e4, 'poisson': 0.1, 'thickness': 0.0014, 'damping': 0.01}
# Cloth touches cloth and the floor under it; arms touch neither.
_BIT = 4
_CONDIM = 3
_SOLREF = [0.05, 1.0]
# Of the air on each vertex, N s/m: cloth sinks at .6 m/s, and a pile of it comes to rest.
_DRAG = 0.004
_INFLATE = 0.002

# What is between the finger tips: so far around their middle, so far above and below.
PINCH_RADIUS = 0.014
PINCH_ABOVE = 0.026
PINCH_BELOW = 0.005
PINCH_MOST = 10
# Side of the squares that the covered area is counted in.
_AREA_CELL = 0.004
_ASIDE = (0.5, 0.37)


def add_garment(
    spec: 'mujoco.MjSpec', garment: Garment, fabric: Fabric, places: Array, holders: Sequence[str]
) -> None:
    """Lay a garment flat on the table and set the physics that it needs.

    Args:
        spec: the scene, with a table whose top is at height 0.
        garment: its mesh.
        fabric: its colours.
        places: (n, 2) of its vertices in the table frame.
        holders: bodies that vertices can be tied to.
    """
    _set_physics(spec)
    floor = spec.worldbody.add_geom(name='cloth_floor', type=mujoco.mjtGeom.mjGEOM_PLANE)
    # A plane makes one contact for each vertex, a box four.
    floor.size, floor.group = [1.0, 1.0, 0.1], HIDDEN_GROUP
    floor.contype = floor.conaffinity = _BIT
    floor.condim, floor.friction = 3, [0.8, 0.01, 0.001]
    names = [f'cloth_{i}' for i in range(len(places))]
    for name, place in zip(names, places, strict=True):
        _add_vertex(spec, name, place, MASS / len(places))
    _add_flex(spec, garment, names)
    _add_skin(spec, garment, fabric, names, places)
    for side, holder in enumerate(holders):
        for name in names:
            tie = spec.add_equality(
                name=f'pinch_{side}_{name}',
                type=mujoco.mjtEq.mjEQ_CONNECT,
                objtype=mujoco.mjtObj.mjOBJ_BODY,
                name1=holder,
                name2=name,
                active=False,
            )
            tie.solref = [2 * TIME_STEP, 1.0]


def _set_physics(spec: 'mujoco.MjSpec') -> None:
    option = spec.option
    option.timestep = TIME_STEP
    option.integrator = mujoco.mjtIntegrator.mjINT_DISCRETE
    # Conjugate gradients are as fast, but do not converge where heavy arms hold light vertices.
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.impratio = 1.0
    option.iterations = 10
    option.tolerance = 1e-6


def _add_vertex(spec: 'mujoco.MjSpec', name: str, place: Array, mass: float) -> None:
    body = spec.worldbody.add_body(name=name, pos=[*place, RADIUS])
    body.explicitinertial, body.mass, body.inertia = True, mass, [mass * 1e-5] * 3
    for axis, direction in zip('xyz', np.eye(3), strict=True):
        joint = body.add_joint(name=f'{name}_{axis}', type=mujoco.mjtJoint.mjJNT_SLIDE)
        joint.axis = direction


def _add_flex(spec: 'mujoco.MjSpec', garment: Garment, names: list[str]) -> None:
    flex = spec.add_flex(name='cloth')
    flex.dim, flex.radius, flex.group = 2, RADIUS, HIDDEN_GROUP
    flex.vertbody = names
    flex.elem = garment.triangles.ravel().tolist()
    flex.elastic2d = 3
    for key, value in _ELASTICITY.items():
        setattr(flex, key, value)
    flex.contype = flex.conaffinity = _BIT
    flex.condim, flex.selfcollide = _CONDIM, mujoco.mjtFlexSelf.mjFLEXSELF_AUTO
    flex.friction, flex.solref = [0.8, 0.01, 0.001], _SOLREF


def _add_skin(
    spec: 'mujoco.MjSpec', garment: Garment, fabric: Fabric, names: list[str], places: Array
) -> None:
    """What is seen: two sheets back to back, as a flex has but one colour for both its sides."""
    pixels = picture(garment, fabric)
    texture = spec.add_texture(name='cloth', type=mujoco.mjtTexture.mjTEXTURE_2D)
    texture.height, texture.width, texture.nchannel = pixels.shape
    texture.data = pixels.tobytes()
    material = spec.add_material(name='cloth')
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = 'cloth'
    material.specular = 0.0
    count = len(names)
    flat = np.column_stack([places, np.full(count, RADIUS)])
    skin = spec.add_skin(name='cloth', material='cloth')
    skin.inflate = _INFLATE
    skin.vert = np.tile(flat.ravel(), 2).tolist()
    sides = [coordinates(garment, inner) for inner in (False, True)]
    skin.texcoord = np.concatenate(sides).ravel().tolist()
    skin.face = np.vstack([garment.triangles, garment.triangles[:, ::-1] + count]).ravel().tolist()
    skin.bodyname = names
    skin.bindpos = flat.ravel().tolist()
    skin.bindquat = np.tile([1.0, 0.0, 0.0, 0.0], count).tolist()
    skin.vertid = [[i, i + count] for i in range(count)]
    skin.vertweight = [[1.0, 1.0]] * count


class Cloth:
    """The garment of a compiled scene.

    Args:
        model: the scene.
        garment: as given to `add_garment`.
        holders: how many arms can hold it.
    """

    def __init__(self, model: 'mujoco.MjModel', garment: Garment, holders: int) -> None:
        self.garment = garment
        self._model = model
        names = [f'cloth_{i}' for i in range(len(garment.places))]
        joints = [[model.joint(f'{name}_{axis}') for axis in 'xyz'] for name in names]
        self._qpos = np.array([[int(j.qposadr[0]) for j in three] for three in joints])
        self._dofs = np.array([[int(j.dofadr[0]) for j in three] for three in joints])
        self._ties = np.array(
            [[model.equality(f'pinch_{s}_{n}').id for n in names] for s in range(holders)]
        )
        self._holders = model.eq_obj1id[self._ties[:, 0]]

    def wrinkle(self, data: 'mujoco.MjData', displacements: Array) -> None:
        """Move the vertices by (n, 3) from where they were laid flat."""
        data.qpos[self._qpos] = displacements

    def vertices(self, data: 'mujoco.MjData') -> Array:
        """Places (n, 3) in the table frame."""
        return np.array(data.flexvert_xpos).reshape(-1, 3)

    def drag(self, data: 'mujoco.MjData') -> None:
        """Air resistance by the speeds as they are, to be called in each tick.

        MuJoCo forbids damped joints under a flex.
        """
        data.qfrc_applied[self._dofs] = -_DRAG * data.qvel[self._dofs]

    def speed(self, data: 'mujoco.MjData') -> float:
        """Mean speed of the vertices, m/s."""
        return float(np.linalg.norm(data.qvel[self._dofs], axis=1).mean())

    def held(self, data: 'mujoco.MjData') -> NDArray[np.bool_]:
        """Which vertices (holders, n) are tied."""
        return np.asarray(data.eq_active[self._ties].astype(bool))

    def within(self, data: 'mujoco.MjData', tips: Array) -> NDArray[np.intp]:
        """Vertices between finger tips whose middle is at (3,), nearest first."""
        offset = self.vertices(data) - tips
        aside = np.hypot(offset[:, 0], offset[:, 1])
        reached = (aside < PINCH_RADIUS) & (offset[:, 2] > -PINCH_BELOW)
        reached &= (offset[:, 2] < PINCH_ABOVE) & ~self.held(data).any(axis=0)
        found = np.flatnonzero(reached)
        return found[np.argsort(aside[found])][:PINCH_MOST]

    def pinch(self, data: 'mujoco.MjData', holder: int, vertices: NDArray[np.intp]) -> None:
        """Tie vertices to a holder where they are now."""
        body = self._holders[holder]
        turn, place = data.xmat[body].reshape(3, 3), data.xpos[body]
        ties = self._ties[holder, vertices]
        self._model.eq_data[ties, :3] = (self.vertices(data)[vertices] - place) @ turn
        self._model.eq_data[ties, 3:6] = 0.0
        data.eq_active[ties] = 1

    def release(self, data: 'mujoco.MjData', holder: int) -> None:
        """Let go of all that a holder has."""
        data.eq_active[self._ties[holder]] = 0

    def area(self, vertices: Array) -> float:
        """Area in m² of the table that is covered by vertices at (n, 2 or 3)."""
        corners = vertices[self.garment.triangles, :2]
        low = corners.min(axis=(0, 1))
        count = np.ceil((corners.max(axis=(0, 1)) - low) / _AREA_CELL).astype(int) + 1
        # Beside the garment's own lines, on which a point would be in no triangle.
        axes = [low[i] + _AREA_CELL * (np.arange(count[i]) + _ASIDE[i]) for i in (0, 1)]
        points = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 2)
        a, b, c = (corners[:, i] for i in range(3))
        sides = [_left_of(points, p, q) for p, q in ((a, b), (b, c), (c, a))]
        inside = (sides[0] & sides[1] & sides[2]) | ~(sides[0] | sides[1] | sides[2])
        return float(inside.any(axis=1).sum() * _AREA_CELL**2)


def _left_of(points: Array, start: Array, end: Array) -> NDArray[np.bool_]:
    """Whether points (p, 2) are left of lines (t, 2) to (t, 2): (p, t)."""
    edge = end - start
    offset = points[:, None] - start
    return np.asarray(edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0] > 0.0)


def fit(source: Array, target: Array) -> tuple[Array, Array]:
    """Rotation (2, 2) and shift (2,) that bring points (n, 2) nearest to others (n, 2).

    ``target ≈ source @ rotation.T + shift`` (Kabsch).
    """
    middle_source, middle_target = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((target - middle_target).T @ (source - middle_source))
    flip = np.diag([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ flip @ vt
    return rotation, middle_target - middle_source @ rotation.T
