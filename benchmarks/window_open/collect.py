# SPDX-License-Identifier: Apache-2.0
"""Expert videos of Meta-World's window-open from two cameras, with the robot and without it.

    MUJOCO_GL=egl PYTHONPATH=. METAWORLD/bin/python benchmarks/window_open/collect.py \
        --out runs/window_open/data

Runs in an environment of its own, see requirements.txt. Writes one .npz for each episode, which
`vvf_models.data.open` reads, into `train` and `held_out`. Camera streams of an episode, all of the
same states: `corner2` and `corner3`; `corner2_bare`, `corner3_bare` with the robot invisible; and,
in held-out episodes, `corner2_shut`, `corner3_shut`: the robot moves as it did, but the window has
stayed where it was, which nothing but the window tells from a success.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault('MUJOCO_GL', 'egl')

import numpy as np

from vvf_sim.errors import UserError
from vvf_sim.worlds.metaworld import MAX_STEPS, SawyerWindowEnv, View

# Seeds of window positions: those of Meta-World's own seeds 0 and 1000.
SPLITS = {'train': 0, 'held_out': 50_000}


def episode(
    env: SawyerWindowEnv, seed: int, views: Sequence[View], *, every: int, after: int
) -> dict[str, np.ndarray] | None:
    """One episode, recorded every so many steps; None if the expert fails."""
    env.reset(seed=seed)
    frames: dict[str, list[np.ndarray]] = {}
    actions, states, success = [], [], -1
    for step in range(MAX_STEPS):
        action = env.expert_action()
        if step % every == 0:
            for view in views:
                for name, picture in env.images(view).items():
                    frames.setdefault(f'images_{name}', []).append(picture)
            states.append(env.state())
            actions.append(action)
            if success >= 0 and len(states) > success + after:
                break
        if env.advance(action) and success < 0:
            success = len(states)  # the next frame that is recorded
    if not 0 <= success < len(states):
        return None
    return {
        **{name: np.array(pictures) for name, pictures in frames.items()},
        'state': np.array(states, np.float32),
        'action': np.array(actions, np.float32),
        'stamps': np.arange(len(states)) * every * env.dt,
        'success': np.array(True),
        'success_index': np.array(success),
        'instruction': np.array('open the window'),
    }


def main() -> None:
    """Collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--train', type=int, default=64, help='episodes [64]')
    parser.add_argument('--held-out', type=int, default=16, help='episodes of other seeds [16]')
    parser.add_argument('--every', type=int, default=2, help='steps of 12.5 ms per frame [2]')
    parser.add_argument('--after', type=int, default=5, help='frames after the success [5]')
    args = parser.parse_args()
    try:
        env = SawyerWindowEnv()
    except UserError as error:
        raise SystemExit(str(error)) from error
    for split, count in (('train', args.train), ('held_out', args.held_out)):
        views: tuple[View, ...] = ('', '_bare') if split == 'train' else ('', '_bare', '_shut')
        folder = args.out / split
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = SPLITS[split] + number
            arrays = episode(env, seed, views, every=args.every, after=args.after)
            if arrays is None:
                print(f'{split} {number}: the expert failed; left out')
                continue
            for name, pictures in arrays.items():
                # A lost graphics context renders black, and says nothing.
                if name.startswith('images_') and pictures.std() < 5:
                    raise SystemExit(f'{name} of {split} {number} is blank; check MUJOCO_GL')
            np.savez_compressed(folder / f'episode_{number:04d}.npz', **arrays)
            print(f'{split} {number}: {len(arrays["stamps"])} frames', flush=True)
    env.close()


if __name__ == '__main__':
    main()
