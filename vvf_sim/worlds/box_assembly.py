# SPDX-License-Identifier: Apache-2.0
"""Closing a carton: two minor flaps first, then the two major ones over them.

ViVa's box assembly, as one arm can do it honestly: the carton is free and is kept in place only by
the weight of what is packed in it and by friction; flaps are pushed with closed fingers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds.box_assembly_layout import FLAPS, BoxLayout, draw_layout
from vvf_sim.worlds.box_assembly_scene import SPRINGBACK, furnish
from vvf_sim.worlds.world import World
from vvf_sim.worlds.world_config import WorldConfig

# A flap below the first angle is closed, one that was and rises above the second is open again.
CLOSED = 0.35
REOPENED = 0.43
# A carton that has gone further than this, m, or turned more, rad, was pushed away.
PUSHED_M = 0.035
PUSHED_RAD = 0.3
TILTED_RAD = 0.2
# Finger tips at least this high above the walls' edge, or as far beside them, are withdrawn.
WITHDRAWN = 0.045
# Finger tips lower than this above the walls' edge, inside them or at a flap, work on one.
WORKING = 0.03
# Speed, rad/s, of a flap that springs open.
UNDONE = 4.0
# Contacts flicker: a flap that was touched so long ago still counts as touched, s.
TOUCH_S = 0.2


@dataclass(frozen=True)
class BoxAssemblyConfig(WorldConfig):
    """What may vary; nothing besides what every world lets vary."""


class BoxAssemblyWorld(World[BoxAssemblyConfig]):
    """Arm, table and a carton with four open flaps; `reset` must be called before anything else.

    Flaps are numbered as in `FLAPS`, the minor ones first. Events: flap_closed, wrong_order (a
    major flap was closed before both minor ones), flap_sprang_open (a closed flap opened by
    itself), flap_opened (it was opened by a finger under it), flap_missed (the fingers drew back
    and the flap they worked at was still open), box_pushed, box_tipped, box_closed, success.

    Args:
        config: what may vary.
    """

    CAMERAS: ClassVar[tuple[str, ...]] = ('front', 'wrist')
    MILESTONES: ClassVar[tuple[str, ...]] = ('flap_closed', 'box_closed', 'success')
    ERRORS: ClassVar[tuple[str, ...]] = (
        'wrong_order',
        'flap_sprang_open',
        'flap_missed',
        'box_pushed',
        'box_tipped',
    )

    PUSH_M: ClassVar[tuple[float, float]] = (0.012, 0.025)

    def __init__(self, config: BoxAssemblyConfig | None = None) -> None:
        super().__init__(config or BoxAssemblyConfig())
        self.layout: BoxLayout

    # -- the scene ---------------------------------------------------------------------------

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        return 'close the box'

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the layout."""
        self.layout = draw_layout(self.config.setting, self.config.axes, self.seed, rng)

    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add table, carton and cameras."""
        furnish(spec, self.layout, self.arm_model)

    def starts(self) -> Sequence[tuple[Array, float]]:
        """Over the table, as the layout says."""
        return [self.layout.start]

    def index(self) -> None:
        """Look up the flaps, and bend them open."""
        model, data = self.model, self.data
        self._carton = int(model.body('carton').id)
        self._flap_bodies = [int(model.body(flap.name).id) for flap in FLAPS]
        self._angle_at = np.array([model.joint(flap.name).qposadr[0] for flap in FLAPS])
        angles = self.layout.carton.angles
        data.qpos[self._angle_at] = model.qpos_spring[self._angle_at] = angles
        self._flap_of_geom = np.full(model.ngeom, -1)
        for number in range(len(FLAPS)):
            self._flap_of_geom[model.geom_bodyid == self._flap_bodies[number]] = number
        # Everything that hangs from an arm's base is an arm.
        roots = {int(model.body_rootid[model.site_bodyid[i]]) for i in range(model.nsite)}
        self._is_arm = np.isin(model.body_rootid[model.geom_bodyid], list(roots))

    def before_steps(self, fingers: Array) -> None:
        """Let creases that are bent far enough take on their new angle."""
        angles = self.data.qpos[self._angle_at]
        rest = self.model.qpos_spring[self._angle_at]
        self.model.qpos_spring[self._angle_at] = np.clip(
            rest, angles - SPRINGBACK, angles + SPRINGBACK
        )

    # -- how things stand --------------------------------------------------------------------

    @property
    def angles(self) -> Array:
        """Angles (4,) of the flaps in rad; 0 is flat, more is open."""
        return np.asarray(self.data.qpos[self._angle_at].copy())

    @property
    def closed(self) -> tuple[bool, ...]:
        """Which flaps are closed; one stays so until it is clearly open again."""
        return tuple(self._closed)

    def carton_pose(self) -> tuple[Array, Array]:
        """Middle of the carton's bottom (3,) in m and its rotation (3, 3), table frame."""
        data = self.data
        return data.xpos[self._carton].copy(), data.xmat[self._carton].reshape(3, 3).copy()

    def springs(self) -> tuple[int, float] | None:
        """The flap that was closed last, of those that no other lies on and no finger is at."""
        free = range(2, 4) if any(self._closed[2:]) else range(2)
        touched = self._touched()
        closed = [number for number in free if self._closed[number] and not touched[number]]
        if not closed:
            return None
        last = max(closed, key=lambda number: self._closed_at[number])
        return int(self.model.joint(FLAPS[last].name).dofadr[0]), UNDONE

    def crease(self, number: int) -> tuple[Array, Array]:
        """Middle of a flap's crease (3,) in m and the outward direction (3,), table frame."""
        outward = np.append(FLAPS[number].outward, 0.0)
        rotation = self.data.xmat[self._carton].reshape(3, 3)
        return self.data.xpos[self._flap_bodies[number]].copy(), rotation @ outward

    def finger_force(self) -> float:
        """Sum of the normal forces in N with which fingers push at flaps."""
        data, force, total = self.data, np.zeros(6), 0.0
        for index, pair in enumerate(data.contact.geom):
            if self._is_arm[pair].any() and self._flap_of_geom[pair].max() >= 0:
                mujoco.mj_contactForce(self.model, data, index, force)
                total += float(force[0])
        return total

    def finger_tips(self) -> Array:
        """Where the finger tips are, (3,) in the carton's frame, from its upper edge."""
        tip = self.arms[0].tip(self.data)
        ends = tip[:3, 3] + self.arm_model.tip_reach * tip[:3, 0]
        middle, rotation = self.carton_pose()
        return np.asarray(rotation.T @ (ends - middle) - [0, 0, self.layout.carton.height])

    def withdrawn(self) -> bool:
        """Whether the fingers are out of the carton's way."""
        tips = self.finger_tips()
        beside = np.abs(tips[:2]) - self.layout.carton.half
        return bool(tips[2] > WITHDRAWN or beside.max() > 0.1)

    def upright(self) -> bool:
        """Whether the carton stands on the table."""
        middle, rotation = self.carton_pose()
        return bool(rotation[2, 2] > np.cos(TILTED_RAD) and abs(middle[2]) < 0.005)

    def pushed(self) -> bool:
        """Whether the carton is far from where it was."""
        middle, rotation = self.carton_pose()
        yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
        turned = abs((yaw - self.layout.carton.yaw + np.pi) % (2 * np.pi) - np.pi)
        gone = float(np.hypot(*(middle[:2] - self.layout.carton.xy)))
        return gone > PUSHED_M or turned > PUSHED_RAD

    def assembled(self) -> bool:
        """Whether all flaps are closed, the minor ones first."""
        flat = self.angles.max() < CLOSED and all(self._closed)
        return bool(flat and max(self._closed_at[:2]) < min(self._closed_at[2:]))

    def success(self) -> bool:
        """Whether the box is closed, stands on the table and has been let go."""
        if not self.assembled() or not self.upright() or not self.withdrawn():
            return False
        return not self._touched().any()

    def failure_kind(self) -> str:
        """Why the episode has not succeeded, from what happened; empty after a success.

        One of push, wrong_order, early_release, missed_flap, timeout.
        """
        if self._succeeded and self.success():
            return ''
        if self.pushed() or not self.upright():
            return 'push'
        still_open = {f.name for f, closed in zip(FLAPS, self._closed, strict=True) if not closed}
        errors = {(event.name, event.kind) for event in self.events}
        majors = any(self._closed[2:])
        if majors and not all(self._closed[:2]) and self.happened('wrong_order'):
            return 'wrong_order'
        if any(('flap_sprang_open', name) in errors for name in still_open):
            return 'early_release'
        if any(('flap_missed', name) in errors for name in still_open):
            return 'missed_flap'
        return 'timeout'

    # -- what happens ------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget which flaps were closed."""
        self._closed = [False] * len(FLAPS)
        self._closed_at = [np.inf] * len(FLAPS)
        self._touched_at = np.full(len(FLAPS), -np.inf)
        self._working = -1
        self._changed = False
        self._lowest = np.inf
        self._pushed = self._tipped = self._box_closed = self._succeeded = False

    def watch(self, fingers: Array) -> None:
        """Follow flaps, fingers and carton."""
        tips = self.finger_tips()
        touched = self._touched()
        self._touched_at[touched] = self.time
        for number, angle in enumerate(self.angles):
            if not self._closed[number] and angle < CLOSED:
                self._close(number)
            elif self._closed[number] and angle > REOPENED:
                self._reopen(number, tips)
        self._follow_fingers(tips, bool(touched.any()))
        if not self._pushed and self.pushed():
            self._pushed = True
            self.event('box_pushed')
        if not self._tipped and not self.upright():
            self._tipped = True
            self.event('box_tipped')
        if not self._box_closed and self.assembled():
            self._box_closed = True
            self.event('box_closed')
        if not self._succeeded and self.success():
            self._succeeded = True
            self.event('success')

    def _close(self, number: int) -> None:
        flap = FLAPS[number]
        self._closed[number], self._closed_at[number] = True, self.time
        self._changed = True
        self.event('flap_closed', flap.name)
        if flap.major and not all(self._closed[:2]):
            self.event('wrong_order', flap.name)

    def _reopen(self, number: int, tips: Array) -> None:
        self._closed[number], self._closed_at[number] = False, np.inf
        self._box_closed = False
        x, y = FLAPS[number].outward
        half = self.layout.carton.half
        inward = half[0] * abs(x) + half[1] * abs(y) - (tips[0] * x + tips[1] * y)
        # A finger lower than the flap's plane where it is has lifted it.
        under = inward > 0.0 and tips[2] < inward * np.tan(self.angles[number])
        if under and self.time - self._touched_at[number] < TOUCH_S:
            self._changed = True
            self.event('flap_opened', FLAPS[number].name)
        else:
            self.event('flap_sprang_open', FLAPS[number].name)

    def _follow_fingers(self, tips: Array, touching: bool) -> None:
        """Notice that fingers have drawn back from a flap that they did not close."""
        half = np.array(self.layout.carton.half)
        inside = bool((np.abs(tips[:2]) < half).all())
        if tips[2] < WORKING and (inside or touching):
            if tips[2] < self._lowest:
                # Where the fingers go lowest is where they mean to press.
                self._lowest = float(tips[2])
                outward = np.array([flap.outward for flap in FLAPS])
                gaps = np.abs(outward) @ half - outward @ tips[:2]
                self._working = int(np.argmin(np.abs(gaps)))
        elif self._working >= 0 and self.withdrawn():
            if not self._changed and not self._closed[self._working]:
                self.event('flap_missed', FLAPS[self._working].name)
            self._working, self._changed, self._lowest = -1, False, np.inf

    def _touched(self) -> Array:
        """Which flaps (4,) an arm touches, bool."""
        touched = np.zeros(len(FLAPS), bool)
        pairs = self.data.contact.geom
        for one, other in ((0, 1), (1, 0)):
            flaps = self._flap_of_geom[pairs[self._is_arm[pairs[:, one]], other]]
            touched[flaps[flaps >= 0]] = True
        return touched
