# SPDX-License-Identifier: Apache-2.0
"""Episodes small enough to learn from in seconds: a dot travels to a disc; failures stop."""

import cv2
import numpy as np

from vvf_models.data.episode import Episode
from vvf_models.data.frames import FrameStore
from vvf_models.policies.bc import BcConfig
from vvf_models.policies.bc_task import BcTaskConfig
from vvf_models.policies.cql import CqlConfig
from vvf_models.policies.rwr import RwrConfig
from vvf_models.values.distributional import DistributionalConfig
from vvf_models.values.icvf import IcvfConfig
from vvf_models.values.vip import VipConfig
from vvf_models.values.viva import VivaConfig

STATE_DIM = 3
SIZE = 16


def toy_episode(seed, *, success=None, size=32, cameras=('front',)):
    rng = np.random.default_rng(seed)
    success = bool(seed % 3) if success is None else success
    count = int(rng.integers(10, 15))
    index = count - 3 if success else -1
    start, goal = rng.uniform(0.1, 0.35, 2), rng.uniform(0.65, 0.9, 2)
    fraction = np.minimum(np.arange(count) / (count - 3), 1.0 if success else 0.5)
    path = start + (goal - start) * fraction[:, None]
    table = rng.integers(60, 180, 3)
    frames = np.empty((count, size, size, 3), np.uint8)
    for frame, point in zip(frames, path, strict=True):
        frame[:] = table
        for centre, colour, radius in ((goal, (0, 0, 255), 5), (point, (255, 160, 0), 3)):
            at = tuple(int(v * size) for v in centre)
            cv2.circle(frame, at, radius, colour, -1)
    state = np.zeros((count, STATE_DIM), np.float32)
    state[:, :2] = path
    state[:, 2] = rng.normal(size=count)
    actions = np.zeros((count, 7), np.float32)
    actions[:-1, :2] = np.diff(path, axis=0)
    actions[:, 6] = fraction < 0.5
    return Episode(
        images=dict.fromkeys(cameras, frames),
        state=state,
        actions=actions,
        success=success,
        success_index=index,
        instruction='dot to disc',
        episode_id=f'toy_{seed}',
        stamps=np.arange(count) * 0.2,
        failure_kind='' if success else 'stopped',
    )


def toy_episodes(count):
    return [toy_episode(seed) for seed in range(count)]


def toy_store(count):
    return FrameStore.from_episodes(toy_episodes(count), ('front',), SIZE)


_SMALL = {
    'cameras': ('front',),
    'image_size': SIZE,
    'state_dim': STATE_DIM,
    'batch_size': 16,
    'held_out_fraction': 0.25,
    'evaluate_every': 10,
    'warmup_steps': 5,
    'shift': 1,
    'bfloat16': False,
}
_ENCODERS = {'latent_dim': 32, 'width': 8, 'state_latent_dim': 16}


def small_icvf(**changes):
    own = {'hidden': (32, 32), 'n_goals': 4}
    return IcvfConfig(**{**_SMALL, **_ENCODERS, **own, **changes})


def small_bc(**changes):
    own = {'horizon': 3, 'width': 8, 'hidden': 32, 'held_out_fraction': 0.2}
    return BcConfig(**{**_SMALL, **own, **changes})


def small_cql(**changes):
    return CqlConfig(**{**_SMALL, **_ENCODERS, 'hidden': (32, 32), **changes})


def small_bc_task(**changes):
    return BcTaskConfig(**{**_SMALL, **_ENCODERS, 'hidden': (32, 32), **changes})


def small_rwr(**changes):
    return RwrConfig(**{**_SMALL, **_ENCODERS, 'hidden': (32, 32), **changes})


def small_vip(**changes):
    own = {'embedding_dim': 8, 'negatives': 0, 'state_dim': 0}
    return VipConfig(**{**_SMALL, **_ENCODERS, **own, **changes})


def small_distributional(**changes):
    return DistributionalConfig(**{**_SMALL, **_ENCODERS, 'hidden': 32, **changes})


def small_viva(**changes):
    own = {
        'codec_stride': 4,
        'codec_channels': 24,
        'layers': 1,
        'heads': 2,
        'head_dim': 16,
        'ffn_dim': 64,
        'token_patch': 2,
        'frequency_dim': 32,
        'blank': True,
        'horizon': 3,
    }
    return VivaConfig(**{**_SMALL, **own, **changes})
