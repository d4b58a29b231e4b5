# SPDX-License-Identifier: Apache-2.0
"""Opening a window by sliding it to the side: the object-aware VIP's task, for our arms.

Two fixed cameras see it from both sides, as the paper's do; one on the gripper would pass behind
the window and see nothing of the handle. A weight draws the sash shut until it
clicks in at the open end.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from vvf_sim.mj import mujoco
from vvf_sim.rotations import Array
from vvf_sim.worlds import window_open_scene
from vvf_sim.worlds.window_open_layout import (
    HANDLE_HALF,
    STANDOFF,
    Window,
    WindowOpenConfig,
    draw_window,
)
from vvf_sim.worlds.world import World

__all__ = ['WindowOpenConfig', 'WindowOpenWorld']

# Parts of the sash's travel.
CAUGHT = 0.75
OPEN = 0.8
HALF = 0.5
STARTED = 0.3
BACK = 0.1
# What holds the sash at its open end, N.
CATCH_FORCE = 3.0
_STILL = 0.1
# A gripper so far from the handle has left it; so near to the window it means to push, m.
_LEFT = 0.09
_NEAR = 0.13
_OVER = 0.045


class WindowOpenWorld(World[WindowOpenConfig]):
    """Arm, table and window.

    Events: handle_reached, half_open, handle_missed (the fingers went past the handle in the
    direction of opening and did not touch it), slid_back (after it was open by a third),
    success.

    Args:
        config: what may vary.
    """

    CAMERAS: ClassVar[tuple[str, ...]] = ('shoulder', 'side')
    MILESTONES: ClassVar[tuple[str, ...]] = ('handle_reached', 'half_open', 'success')
    ERRORS: ClassVar[tuple[str, ...]] = ('handle_missed', 'slid_back')

    def __init__(self, config: WindowOpenConfig | None = None) -> None:
        super().__init__(config or WindowOpenConfig())
        self.window: Window

    @property
    def instruction(self) -> str:
        """What a person would ask for."""
        return 'open the window'

    def draw(self, rng: np.random.Generator) -> None:
        """Draw place, size and looks."""
        self.window = draw_window(self.config, rng, self.seed)

    def furnish(self, spec: 'mujoco.MjSpec') -> None:
        """Add table, window, other things and cameras."""
        window_open_scene.furnish(spec, self.window)

    def facts(self) -> dict[str, str]:
        """The way it opens."""
        return {'side': 'left' if self.window.side > 0 else 'right'}

    def starts(self) -> Sequence[tuple[Array, float]]:
        """Before the window and above its handle."""
        return [(self.window.start_xyz, self.window.start_yaw)]

    def index(self) -> None:
        """Look up the sash and its handle."""
        model = self.model
        joint = model.joint('sash')
        self._qpos, self._dof = int(joint.qposadr[0]), int(joint.dofadr[0])
        self._handle = np.full(model.ngeom, -1)
        self._handle[model.geom('handle').id] = 0

    def clear(self) -> None:
        """Forget what was reached."""
        self._reached = False
        self._half = False
        self._succeeded = False
        self._peak = 0.0
        self._ahead = np.inf

    @property
    def opened(self) -> float:
        """How far the sash has slid, m."""
        return float(self.data.qpos[self._qpos])

    def before_steps(self, fingers: Array) -> None:
        """The catch at the open end."""
        caught = self.opened > CAUGHT * self.window.travel
        self.data.qfrc_applied[self._dof] = CATCH_FORCE if caught else 0.0

    def success(self) -> bool:
        """Whether the window is open and its sash still."""
        still = abs(self.data.qvel[self._dof]) < _STILL
        return bool(self.opened > OPEN * self.window.travel and still)

    def failure_kind(self) -> str:
        """The last error, or timeout; empty after a success."""
        if self._succeeded and self.success():
            return ''
        errors = [event.name for event in self.events if event.name in self.ERRORS]
        return errors[-1] if errors else 'timeout'

    def watch(self, fingers: Array) -> None:
        """Follow the gripper past the handle, and the sash."""
        self._follow_gripper()
        self._follow_sash()
        if not self._succeeded and self.success():
            self._succeeded = True
            self.event('success')

    def _follow_gripper(self) -> None:
        arm = self.arms[0]
        along, before, height = self.window.seen_from(arm.tip(self.data)[:3, 3])
        before -= STANDOFF
        low = height - arm.arm.tip_reach - self.window.handle_top
        if arm.touched(self.data, self._handle, 1).any():
            if not self._reached:
                self.event('handle_reached')
            self._reached = True
        elif np.hypot(along - self.opened, before) > _LEFT or low > _OVER:
            self._reached = False
        # The handle is no longer between the fingers, nor before them.
        past = self.opened + arm.arm.max_opening / 2 + HANDLE_HALF + 0.02
        near = abs(before) < _NEAR and low < _OVER
        if near and not self._reached and self._ahead < past <= along:
            self.event('handle_missed', target=False)
        self._ahead = along if near else np.inf

    def _follow_sash(self) -> None:
        part = self.opened / self.window.travel
        if not self._half and part > HALF:
            self._half = True
            self.event('half_open')
        self._peak = max(self._peak, part)
        if self._peak > STARTED and part < BACK:
            self._peak, self._half = 0.0, False
            self.event('slid_back', target=False)
