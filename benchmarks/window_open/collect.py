# SPDX-License-Identifier: Apache-2.0
"""Expert videos of Meta-World's window-open from two cameras, with the robot and without it.

    MUJOCO_GL=egl METAWORLD/bin/python benchmarks/window_open/collect.py --out runs/window_open/data

Runs in an environment of its own, see requirements.txt. Writes one .npz for each episode, which
`vvf_models.data.open` reads, into `train` and `held_out`. Camera streams of an episode, all of the
same states: `corner2` and `corner3`; `corner2_bare`, `corner3_bare` with the robot invisible; and,
in held-out episodes, `corner2_shut`, `corner3_shut`: the robot moves as it did, but the window has
stayed where it was, which nothing but the window tells from a success.
"""

import argparse
import os
import warnings
from pathlib import Path

os.environ.setdefault('MUJOCO_GL', 'egl')

import metaworld
import mujoco
import numpy as np
from metaworld.policies import SawyerWindowOpenV3Policy

TASK = 'window-open-v3'
WINDOW = 'window_slide'  # the joint
SIZE = 128  # pixels
# Side of the whole image, and where in it the window and the arm are (left, top of SIZE x SIZE): at
# 128 px for everything the camera sees the window would be 20 px wide.
CAMERAS = {'corner2': (228, 46, 57), 'corner3': (192, 44, 0)}
MAX_STEPS = 200


class Studio:
    """Renders the cameras of an environment."""

    def __init__(self, env: object) -> None:
        """Makes the renderers, and finds what belongs to the robot."""
        self.model, self.data = env.unwrapped.model, env.unwrapped.data
        quality = self.model.vis.quality
        quality.shadowsize, quality.offsamples = 512, 0  # what rendering costs without a GPU
        self.model.light_castshadow[:] = 0
        self.renderers = {
            name: mujoco.Renderer(self.model, side, side) for name, (side, _, _) in CAMERAS.items()
        }
        self.option = mujoco.MjvOption()
        self.option.sitegroup[:] = 0  # no target markers
        self.shut = mujoco.MjData(self.model)
        robot = self._bodies_under('base') | self._bodies_under('mocap')
        self.robot = [g for g in range(self.model.ngeom) if self.model.geom_bodyid[g] in robot]
        self.colours = self.model.geom_rgba.copy()

    def _bodies_under(self, root: str) -> set[int]:
        bodies = {self.model.body(root).id}
        for body in range(self.model.nbody):  # parents come before children
            if self.model.body_parentid[body] in bodies:
                bodies.add(body)
        return bodies

    def take(self, suffix: str) -> dict[str, np.ndarray]:
        """A picture from each camera: suffix '', '_bare' or '_shut'."""
        data = self.data
        if suffix == '_shut':
            data = self.shut
            data.qpos[:] = self.data.qpos
            data.mocap_pos[:], data.mocap_quat[:] = self.data.mocap_pos, self.data.mocap_quat
            data.joint(WINDOW).qpos[0] = 0.0
            mujoco.mj_forward(self.model, data)
        self.model.geom_rgba[:] = self.colours
        if suffix == '_bare':
            self.model.geom_rgba[self.robot, 3] = 0.0
        pictures = {}
        for camera, (_, left, top) in CAMERAS.items():
            renderer = self.renderers[camera]
            renderer.update_scene(data, camera, scene_option=self.option)
            whole = renderer.render()[::-1, ::-1]  # both cameras hang upside down
            pictures[camera + suffix] = whole[top : top + SIZE, left : left + SIZE].copy()
        return pictures

    def close(self) -> None:
        """Frees the renderers; without it EGL complains at the end."""
        for renderer in self.renderers.values():
            renderer.close()


def episode(env, studio, task, suffixes, *, every: int, after: int) -> dict[str, np.ndarray] | None:
    """One episode, recorded every so many steps; None if the expert fails."""
    env.set_task(task)
    observation, _ = env.reset(seed=0)
    policy = SawyerWindowOpenV3Policy()
    frames: dict[str, list[np.ndarray]] = {}
    actions, states, success = [], [], -1
    for step in range(MAX_STEPS):
        action = np.clip(policy.get_action(observation), -1, 1)
        if step % every == 0:
            for suffix in suffixes:
                for name, picture in studio.take(suffix).items():
                    frames.setdefault(f'images_{name}', []).append(picture)
            states.append(observation[:4])  # hand position and finger opening
            actions.append(action)
            if success >= 0 and len(states) > success + after:
                break
        observation, _, _, _, info = env.step(action)
        if info['success'] and success < 0:
            success = len(states)  # the next frame that is recorded
    if not 0 <= success < len(states):
        return None
    period = every * env.unwrapped.frame_skip * studio.model.opt.timestep
    return {
        **{name: np.array(pictures) for name, pictures in frames.items()},
        'state': np.array(states, np.float32),
        'action': np.array(actions, np.float32),
        'stamps': np.arange(len(states)) * period,
        'success': np.array(True),
        'success_index': np.array(success),
        'instruction': np.array('open the window'),
    }


def tasks(seed: int, count: int) -> list:
    """Window positions; each seed of the benchmark has 50."""
    result: list = []
    while len(result) < count:
        result += metaworld.MT1(TASK, seed=seed).train_tasks
        seed += 1
    return result[:count]


def main() -> None:
    """Collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--train', type=int, default=64, help='episodes [64]')
    parser.add_argument('--held-out', type=int, default=16, help='episodes of other seeds [16]')
    parser.add_argument('--every', type=int, default=2, help='steps of 12.5 ms per frame [2]')
    parser.add_argument('--after', type=int, default=5, help='frames after the success [5]')
    args = parser.parse_args()
    warnings.filterwarnings('ignore', message='Constant.*may be too high')
    env = metaworld.MT1(TASK, seed=0).train_classes[TASK](render_mode=None)
    env.set_task(tasks(0, 1)[0])
    env.reset(seed=0)
    studio = Studio(env)
    for split, seed, count in (('train', 0, args.train), ('held_out', 1000, args.held_out)):
        suffixes = ('', '_bare') if split == 'train' else ('', '_bare', '_shut')
        folder = args.out / split
        folder.mkdir(parents=True, exist_ok=True)
        for number, task in enumerate(tasks(seed, count)):
            arrays = episode(env, studio, task, suffixes, every=args.every, after=args.after)
            if arrays is None:
                print(f'{split} {number}: the expert failed; left out')
                continue
            for name, pictures in arrays.items():
                # A lost graphics context renders black, and says nothing.
                if name.startswith('images_') and pictures.std() < 5:
                    raise SystemExit(f'{name} of {split} {number} is blank; check MUJOCO_GL')
            np.savez_compressed(folder / f'episode_{number:04d}.npz', **arrays)
            print(f'{split} {number}: {len(arrays["stamps"])} frames', flush=True)
    studio.close()


if __name__ == '__main__':
    main()
