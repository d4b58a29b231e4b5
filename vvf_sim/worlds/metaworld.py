# SPDX-License-Identifier: Apache-2.0
"""Meta-World's window-open with its Sawyer, as the object-aware VIP uses it; an optional extra.

`vvf/SawyerWindowOpen-v0`; importing this module registers it. Meta-World pins a MuJoCo of its
own, so this module runs in an environment of its own, with the repository on `PYTHONPATH`. For
the project's own arms there is `vvf/WindowOpen-v0`.
"""

import warnings
from importlib import import_module
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vvf_sim.errors import UserError

View = Literal['', '_bare', '_shut']
Images = dict[str, NDArray[np.uint8]]
Observation = dict[str, NDArray[Any]]

INSTALL = (
    'python3 -m venv ~/metaworld && '
    '~/metaworld/bin/pip install -r benchmarks/window_open/requirements.txt'
)
SIZE = 128
# Side of the whole image in pixels, and where in it the window and the arm are (left, top of
# SIZE x SIZE): at 128 px for everything that a camera sees the window would be 20 px wide.
CAMERAS = {'corner2': (228, 46, 57), 'corner3': (192, 44, 0)}
MAX_STEPS = 200

_TASK = 'window-open-v3'
_JOINT = 'window_slide'
# Window positions that the benchmark draws for each of its own seeds.
_POSITIONS = 50


class SawyerWindowEnv(gym.Env[Observation, NDArray[np.float32]]):  # type: ignore[misc]
    """A Sawyer before a sliding window.

    Observation: an image (128, 128, 3) uint8 for each of `CAMERAS`, and `state` (4,) float32,
    which is the hand's place in m and the opening of the fingers. Action (4,) float32 in
    [-1, 1]: displacement of the hand, closing of the fingers. Reward 1 once the window is open,
    which ends the episode, else 0.

    Raises:
        UserError: Meta-World is not installed here.
    """

    metadata: ClassVar[dict[str, Any]] = {'render_modes': []}

    def __init__(self) -> None:
        try:
            self._metaworld = import_module('metaworld')
            policies = import_module('metaworld.policies')
        except ImportError as error:
            raise UserError(
                f'the Sawyer needs Meta-World in an environment of its own ({error}): run '
                f'`{INSTALL}` and use its python with PYTHONPATH=. .'
            ) from error
        self._policy = policies.SawyerWindowOpenV3Policy()
        self._blocks: dict[int, list[Any]] = {}
        warnings.filterwarnings('ignore', message='Constant.*may be too high')
        self._env = self._metaworld.MT1(_TASK, seed=0).train_classes[_TASK](render_mode=None)
        self._raw = self._start(0)
        self._studio = _Studio(self._env.unwrapped.model, self._env.unwrapped.data)
        box = gym.spaces.Box
        spaces: dict[str, gym.Space[Any]] = {
            camera: box(0, 255, (SIZE, SIZE, 3), np.uint8) for camera in CAMERAS
        }
        spaces['state'] = box(-10.0, 10.0, (4,), np.float32)
        self.observation_space = gym.spaces.Dict(spaces)
        self.action_space = box(-1.0, 1.0, (4,), np.float32)

    @property
    def dt(self) -> float:
        """Seconds of an action."""
        plain = self._env.unwrapped
        return float(plain.frame_skip * plain.model.opt.timestep)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start with the window position of a seed; 50 each are those of one of Meta-World's."""
        super().reset(seed=seed)
        self._raw = self._start(int(self.np_random.integers(2**20)) if seed is None else seed)
        return self._observe(), {'success': False}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act for one step."""
        success = self.advance(action)
        return self._observe(), float(success), success, False, {'success': success}

    def advance(self, action: NDArray[Any]) -> bool:
        """Act for one step without taking pictures; whether the window is open then."""
        self._raw, _, _, _, info = self._env.step(np.clip(action, -1.0, 1.0))
        return bool(info['success'])

    def expert_action(self) -> NDArray[np.float64]:
        """What Meta-World's script would do now, (4,)."""
        return np.asarray(np.clip(self._policy.get_action(self._raw), -1.0, 1.0))

    def state(self) -> NDArray[np.float32]:
        """Hand and fingers, (4,)."""
        return np.asarray(self._raw[:4], np.float32)

    def images(self, view: View = '') -> Images:
        """Pictures (128, 128, 3) by camera, the view's name behind the camera's.

        Args:
            view: '_bare' leaves out the robot; '_shut' puts the window back to where it was.
        """
        return self._studio.take(view)

    def close(self) -> None:
        """Free the renderers; without it EGL complains at the end."""
        self._studio.close()

    def _start(self, seed: int) -> NDArray[np.float64]:
        block, number = divmod(seed, _POSITIONS)
        if block not in self._blocks:
            self._blocks[block] = self._metaworld.MT1(_TASK, seed=block).train_tasks
        self._env.set_task(self._blocks[block][number])
        observation: NDArray[np.float64] = self._env.reset(seed=0)[0]
        return observation

    def _observe(self) -> Observation:
        return {**self.images(), 'state': self.state()}


class _Studio:
    """Renders the cameras, and knows what belongs to the robot."""

    def __init__(self, model: Any, data: Any) -> None:
        mujoco = self._mujoco = import_module('mujoco')
        self._model, self._data = model, data
        quality = model.vis.quality
        # What rendering costs without a GPU; it has to be set before the renderers are made.
        quality.shadowsize, quality.offsamples = 512, 0
        model.light_castshadow[:] = 0
        self._renderers = {
            name: mujoco.Renderer(model, side, side) for name, (side, _, _) in CAMERAS.items()
        }
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0  # no markers of the target
        self._shut = mujoco.MjData(model)
        robot = self._bodies_under('base') | self._bodies_under('mocap')
        self._robot = [g for g in range(model.ngeom) if model.geom_bodyid[g] in robot]
        self._colours = model.geom_rgba.copy()

    def _bodies_under(self, root: str) -> set[int]:
        bodies = {int(self._model.body(root).id)}
        for body in range(self._model.nbody):  # parents come before children
            if self._model.body_parentid[body] in bodies:
                bodies.add(body)
        return bodies

    def take(self, view: View) -> Images:
        data = self._data
        if view == '_shut':
            data = self._shut
            data.qpos[:] = self._data.qpos
            data.mocap_pos[:], data.mocap_quat[:] = self._data.mocap_pos, self._data.mocap_quat
            data.joint(_JOINT).qpos[0] = 0.0
            self._mujoco.mj_forward(self._model, data)
        if view == '_bare':
            self._model.geom_rgba[self._robot, 3] = 0.0
        pictures = {}
        for camera, (_, left, top) in CAMERAS.items():
            renderer = self._renderers[camera]
            renderer.update_scene(data, camera, scene_option=self._option)
            whole = renderer.render()[::-1, ::-1]  # both cameras hang upside down
            pictures[camera + view] = whole[top : top + SIZE, left : left + SIZE].copy()
        self._model.geom_rgba[:] = self._colours
        return pictures

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()


gym.register('vvf/SawyerWindowOpen-v0', entry_point=SawyerWindowEnv, max_episode_steps=MAX_STEPS)
