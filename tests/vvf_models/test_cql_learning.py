# SPDX-License-Identifier: Apache-2.0
"""CQL learns from aimless data what cloning them does not give; and it needs both of its terms.

A dot on a line is to come to the right end. Whoever made the data went to the left more often than
to the right. The second entry of an action is a lever: the further it is pushed the faster the dot
goes, but past its middle, where the data never went, the dot falls off and stays where it is.
"""

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import small_bc, small_cql
from vvf_models.checkpoints import load_checkpoint
from vvf_models.data.augment import to_float
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FrameStore
from vvf_models.policies.cql import scaled_actions
from vvf_models.runtime import load_policy
from vvf_models.training import train

SIZE, GOAL, EDGE, STEPS = 32, 0.85, 0.6, 16


def picture(x):
    columns = (np.arange(SIZE) + 0.5) / SIZE
    row = 255 * np.exp(-(((columns - x) / 0.08) ** 2))
    return np.broadcast_to(row[None, :, None], (SIZE, SIZE, 3)).astype(np.uint8)


def moved(x, action):
    speed = 0.5 + action[1] if action[1] < EDGE else 0.0
    return float(np.clip(x + action[0] * speed, 0, 1))


def aimless_episode(seed):
    rng = np.random.default_rng(seed)
    x, places, actions = rng.uniform(0.05, 0.8), [], []
    while len(places) < STEPS and (not places or places[-1] < GOAL):
        way = 1 if rng.random() < 0.4 else -1
        action = way * rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.5)
        places.append(x)
        actions.append(action)
        x = moved(x, action)
    done = places[-1] >= GOAL
    return Episode(
        images={'front': np.stack([picture(place) for place in places])},
        actions=np.array(actions, np.float32),
        success=done,
        success_index=len(places) - 1 if done else -1,
        episode_id=f'{seed}',
    )


@pytest.fixture(scope='module')
def aimless():
    episodes = [aimless_episode(seed) for seed in range(150)]
    return FrameStore.from_episodes([e for e in episodes if len(e) > 1], ('front',), SIZE)


def arrivals(folder):
    """The share of starts from which the policy comes to the goal."""
    policy = load_policy(folder)
    starts = np.linspace(0.1, 0.6, 11)
    reached = 0
    for x in starts:
        for _ in range(STEPS):
            x = moved(x, policy.act({'front': picture(x)})[0])
        reached += x >= GOAL
    return reached / len(starts)


def q_of_levers(folder, *levers):
    """Mean Q of going right from the starts, with the lever at each place."""
    model = load_checkpoint(folder).model
    images = np.stack([picture(x) for x in np.linspace(0.1, 0.6, 11)])
    shown = [to_float(torch.from_numpy(images).permute(0, 3, 1, 2))]
    actions = np.array([[[0.1, lever]] * len(images) for lever in levers], np.float32)
    scaled = scaled_actions(actions.reshape(-1, 2), model.config).reshape(actions.shape)
    task = model.embed(['']).expand(len(images), -1)
    with torch.no_grad():
        return model.q_values(shown, task, torch.from_numpy(scaled)).mean(1).tolist()


PLAIN = {
    'action_dim': 2,
    'state_dim': 0,
    'image_size': SIZE,
    'batch_size': 32,
    'evaluate_every': 1000,
    'held_out_fraction': 0.0,
    'shift': 0,
    'brightness': 0.0,
    'contrast': 0.0,
    'learning_rate': 3e-3,
}
CONFIG = small_cql(
    **PLAIN,
    discount=0.9,
    alpha=1.0,
    target_rate=0.05,
    actor_learning_rate=3e-3,
    temperature_learning_rate=3e-3,
    hidden=(64, 64),
)


def test_cql_comes_to_the_goal_and_thinks_little_of_what_it_never_saw(aimless, tmp_path):
    train('cql', aimless, CONFIG, tmp_path, steps=400, progress=False)
    assert arrivals(tmp_path) >= 0.9  # without Bellman's term it knows of the goal only nearby
    usual, unseen = q_of_levers(tmp_path, 0.4, 0.95)
    # The lever is good as far as it was seen to be pushed: without the other term, further, too.
    assert unseen < usual - 2


def test_cloning_goes_where_most_went(aimless, tmp_path):
    config = small_bc(**PLAIN, action_scale=(0.12,), horizon=1, successes_only=False)
    train('bc', aimless, config, tmp_path, steps=150, progress=False)
    assert arrivals(tmp_path) <= 0.2
