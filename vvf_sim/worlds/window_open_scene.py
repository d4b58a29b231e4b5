# SPDX-License-Identifier: Apache-2.0
"""The window's shape and physics, and what stands around it."""

from vvf_sim.mj import mujoco
from vvf_sim.worlds.object_kinds import Vector
from vvf_sim.worlds.pick_place_scene import add_object
from vvf_sim.worlds.spec import (
    CONTACT,
    add_looks,
    add_table,
    look_at,
    quaternion_z,
)
from vvf_sim.worlds.window_open_layout import BAR_HALF, HANDLE_HALF, STANDOFF, Window

# A weight draws the sash shut: about 1 N, of which friction takes half.
_PULL = {'stiffness': 2.5, 'springref': -0.4, 'frictionloss': 0.4, 'damping': 4.0}
_SOLID = {key: value for key, value in CONTACT.items() if key != 'density'}
_PANE_HALF = 0.003


def furnish(spec: 'mujoco.MjSpec', window: Window) -> None:
    """Table, light, cameras, bodies `window` (fixed) and `sash` with a joint of that name.

    Cameras: `shoulder` and `side` look from both sides of the arm.
    """
    add_looks(spec, window.looks)
    add_table(spec)
    for name, y in (('shoulder', -0.42), ('side', 0.42)):
        camera = spec.worldbody.add_camera(name=name)
        look_at(camera, [-0.08, y, 0.5], [0.32, 0.0, 0.09], [0.0, 0.0, 1.0], 43.0)
    body = spec.worldbody.add_body(
        name='window', pos=[*window.xy, 0.0], quat=quaternion_z(window.yaw)
    )
    _add_frame(body, window)
    _add_sash(body, window)
    # A body's contacts with its parent are left out only where the parent can move.
    spec.add_exclude(bodyname1='window', bodyname2='sash')
    for index, placed in enumerate(window.others):
        add_object(spec, f'other_{index}', placed)


def _add_frame(body: 'mujoco.MjsBody', window: Window) -> None:
    half, middle = window.width / 2, window.height / 2
    depth, bar = 0.015, BAR_HALF
    _box(body, [depth, half, bar], [0.0, 0.0, bar], window.frame_colour)
    _box(body, [depth, half, bar], [0.0, 0.0, window.height - bar], window.frame_colour)
    for y in (bar - half, half - bar):
        _box(body, [depth, bar, middle], [0.0, y, middle], window.frame_colour)
    # The fixed pane, behind the one that slides, and the post that ends it.
    tall = middle - 2 * bar
    y = window.side * half / 2
    red, green, blue = window.glass_colour
    pane = (0.8 * red, 0.8 * green, 0.8 * blue)
    _box(body, [_PANE_HALF, half / 2 - bar, tall], [0.012, y, middle], pane)
    _box(body, [0.007, 0.6 * bar, tall], [0.012, 0.0, middle], window.frame_colour)


def _add_sash(body: 'mujoco.MjsBody', window: Window) -> None:
    middle, half = window.height / 2, window.sash_width / 2
    tall = middle - 2 * BAR_HALF
    # Its edge starts beside the frame's post; the handle is on that edge.
    edge = -window.side * (window.width / 2 - 2 * BAR_HALF)
    sash = body.add_body(name='sash', pos=[-0.008, edge + window.side * half, middle])
    sash.add_joint(
        name='sash',
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0.0, window.side, 0.0],
        range=[0.0, window.travel],
        limited=True,
        armature=0.05,
        **_PULL,
    )
    bar = 0.7 * BAR_HALF
    _box(sash, [_PANE_HALF, half - bar, tall - bar], [0.0, 0.0, 0.0], window.glass_colour, 0.2)
    for z in (bar - tall, tall - bar):
        _box(sash, [0.007, half, bar], [0.0, 0.0, z], window.frame_colour, 0.05)
    for y in (bar - half, half - bar):
        _box(sash, [0.007, bar, tall], [0.0, y, 0.0], window.frame_colour, 0.05)
    _add_handle(sash, window, -window.side * (half - 0.015))


def _add_handle(sash: 'mujoco.MjsBody', window: Window, y: float) -> None:
    """An upright bar before the sash, free at its upper end."""
    length = window.handle_top - 0.035
    low = 0.035 - window.height / 2
    reach = STANDOFF - 0.008
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    sash.add_geom(
        name='handle',
        type=cylinder if window.round_handle else mujoco.mjtGeom.mjGEOM_BOX,
        size=[HANDLE_HALF, length / 2, 0.0]
        if window.round_handle
        else [HANDLE_HALF, HANDLE_HALF, length / 2],
        pos=[-reach, y, low + length / 2],
        rgba=[*window.handle_colour, 1.0],
        mass=0.03,
        **_SOLID,
    )
    for z in (low + 0.008, low + length - 0.04):
        size = [reach / 2, 0.005, 0.005]
        _box(sash, size, [-reach / 2, y, z], window.handle_colour, 0.01)


def _box(
    body: 'mujoco.MjsBody',
    size: list[float],
    position: list[float],
    colour: Vector,
    mass: float = 0.0,
) -> None:
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=size,
        pos=position,
        rgba=[*colour, 1.0],
        mass=mass,
        **_SOLID,
    )
