# SPDX-License-Identifier: Apache-2.0
"""Agents learn online: from rewards, faster with a value in them, faster with data; and go on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.vvf.point_mass import LIMIT, STEP, PixelPoint, PointMass, steps_left
from vvf.online.runs import Run, train_run
from vvf.online.trainer import OnlineTrainer, RunConfig, Setting
from vvf_models.rl.drq import Drq, DrqConfig
from vvf_models.rl.replay import OfflineData
from vvf_models.rl.sac import AgentConfig, Sac
from vvf_models.rl.shaping import RewardConfig

AGENT = AgentConfig(
    hidden=(32, 32),
    num_qs=2,
    num_min_qs=1,
    backup_entropy=False,
    discount=0.95,
    target_rate=0.05,
    learning_rate=3e-3,
    initial_temperature=0.1,
    batch_size=32,
    utd=1,
)
RUN = RunConfig(start_steps=60, steps=400, evaluate_every=100, evaluate_episodes=4, replay=1000)
SPARSE = RewardConfig(reward_scale=1.0, reward_shift=0.0, viva_scale=0.05)


def trainer(kind='none', seeds=(0, 1), offline=None, reward=SPARSE, agent=AGENT, run=RUN):
    setting = Setting(PointMass, LIMIT, kind, reward, steps_left, offline)
    return OnlineTrainer(lambda rngs: Sac(agent, rngs, 1, 1), setting, run, seeds)


def learned(steps=400, **options):
    """Success of four seeds after so many steps: rounding may keep one of them from learning."""
    subject = trainer(seeds=(0, 1, 2, 3), **options)
    for step in range(steps):
        subject.step(step, 1.0)
    result = subject.evaluate()['success']
    subject.close()
    return result


def expert_data():
    """Walks to the goal, with slips."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(20):
        env = PointMass()
        here, done = env.reset(seed=int(rng.integers(1000)))[0], False
        while not done:
            action = np.clip(rng.normal(0.6, 0.5, 1), -1, 1).astype(np.float32)
            there, reward, done, _, _ = env.step(action)
            rows.append((here, action, np.float32(reward), np.float32(1 - done), there))
            here = there
    names = ('observation', 'action', 'reward', 'mask', 'next_observation')
    return OfflineData(
        {name: np.stack(part) for name, part in zip(names, zip(*rows, strict=True), strict=True)}
    )


def test_an_exact_value_finds_what_a_sparse_reward_does_not():
    assert learned(kind='viva') >= 0.75
    theirs = replace(SPARSE, potential_scale=1.0, potential_discounted=False)
    assert learned(kind='potential', reward=theirs) >= 0.75
    assert learned(kind='none') < 0.5


def test_offline_data_find_it_too():
    authors = replace(SPARSE, reward_scale=10.0, reward_shift=-1.0)
    assert learned(kind='none', reward=authors, offline=expert_data()) >= 0.75
    assert learned(kind='none', reward=authors) < 0.5


def test_a_seed_lives_alone_what_it_lives_in_company():
    together, alone = trainer(seeds=(3, 4)), trainer(seeds=(4,))
    for step in range(80):
        together.step(step, 1.0)
        alone.step(step, 1.0)
    for name in ('observation', 'action', 'reward'):
        ours = together.replay.tensors()[name][1]
        torch.testing.assert_close(ours, alone.replay.tensors()[name][0], atol=1e-3, rtol=1e-3)
    for subject in (together, alone):
        subject.close()


def test_what_follows_the_end_of_an_episode_is_its_own_last_observation():
    subject = trainer(run=replace(RUN, environments=3, start_steps=10_000))
    for step in range(LIMIT + 5):
        subject.step(step, 1.0)
    rows = {name: tensor.numpy() for name, tensor in subject.replay.tensors().items()}
    moved = rows['next_observation'] - rows['observation']
    assert np.abs(moved).max() <= STEP + 1e-6
    # Time was up, which is no end of what could have come.
    assert (rows['mask'] == 1).all()
    subject.close()


def test_novelty_is_normalised_by_the_data_or_by_the_first_random_actions():
    data = expert_data()
    subject = trainer(kind='rnd', offline=data)
    assert subject.rnd.normalised
    mean = np.concatenate([data.rows['observation'], data.rows['action']], 1).mean(0)
    np.testing.assert_allclose(subject.rnd.tensors()['mean'][0, 0], mean, atol=1e-5)
    subject.close()
    alone = trainer(kind='rnd', run=replace(RUN, environments=2))
    for step in range(RUN.start_steps // 2):
        assert not alone.rnd.normalised
        assert float(alone.rnd.errors.count[0, 0]) == 1, 'it waits with learning'
        alone.step(step, 1.0)
    first = alone.replay.tensors()
    expected = torch.cat([first['observation'], first['action']], -1).mean(1, keepdim=True)
    torch.testing.assert_close(alone.rnd.tensors()['mean'], expected)
    # It has learned from all of them, and goes on with what comes.
    assert float(alone.rnd.errors.count[0, 0]) == 1 + RUN.start_steps
    alone.step(RUN.start_steps // 2, 1.0)
    assert float(alone.rnd.errors.count[0, 0]) == 1 + RUN.start_steps + 2
    torch.testing.assert_close(alone.rnd.tensors()['mean'], expected)
    alone.close()


def test_novelty_is_rewarded_when_a_batch_is_drawn():
    subject = trainer(kind='rnd', reward=replace(SPARSE, rnd_scale=100.0))
    seen = []
    update = subject.agent.update
    subject.agent.update = lambda batch, rngs: seen.append(batch['reward']) or update(batch, rngs)
    for step in range(RUN.start_steps + 3):
        subject.step(step, 1.0)
    assert (subject.replay.tensors()['reward'] == 0).all()
    assert min(float(reward.min()) for reward in seen) > 0
    subject.close()


def job(folder, **changes):
    setting = Setting(PointMass, LIMIT, 'viva', SPARSE, steps_left)
    config = replace(RUN, steps=90, evaluate_every=30, start_steps=20)
    make = lambda rngs: Sac(AGENT, rngs, 1, 1)  # noqa: E731
    run = Run(folder, 'line', 'line', [0, 1], setting, config, make, {'size': 1}, 'vvf rl line')
    return replace(run, **changes)


def test_a_run_that_was_stopped_goes_on_with_all_that_it_knew(tmp_path, monkeypatch):
    evaluate = OnlineTrainer.evaluate

    def stopped(self):
        if len(self.curve_steps) == 1:
            raise KeyboardInterrupt
        return evaluate(self)

    monkeypatch.setattr(OnlineTrainer, 'evaluate', stopped)
    with pytest.raises(KeyboardInterrupt):
        train_run(job(tmp_path / 'run'), progress=False)
    monkeypatch.setattr(OnlineTrainer, 'evaluate', evaluate)
    known = []
    load = OnlineTrainer.load_tensors

    def loaded(self, tensors):
        load(self, tensors)
        known.extend([self.replay.size, list(self.curve_steps)])
        known.append(int(self.agent.optimizers['critic'].state_dict()['state'][0]['step']))

    monkeypatch.setattr(OnlineTrainer, 'load_tensors', loaded)
    results = train_run(job(tmp_path / 'run'), progress=False)
    assert known == [30, [30], 11]
    assert [r.numbers['curve_steps'] for r in results] == [[30, 60, 90]] * 2
    assert [(r.method, r.seed, r.episodes) for r in results] == [('viva', 0, 4), ('viva', 1, 4)]
    again = train_run(job(tmp_path / 'run'), progress=False)
    assert [r.numbers['curve_success'] for r in again] == [
        r.numbers['curve_success'] for r in results
    ]


def test_drq_learns_from_pictures():
    config = DrqConfig(
        hidden=(32,),
        num_qs=2,
        features=(8, 8),
        latent_dim=16,
        crop_padding=1,
        discount=0.9,
        target_rate=0.05,
        learning_rate=3e-3,
        batch_size=32,
    )

    def value(pictures):
        columns = np.linspace(-1, 1, 16)
        rows = pictures[..., 0, 0, :].astype(np.float32)
        return steps_left(((rows * columns).sum(-1) / rows.sum(-1))[..., None])

    reward = replace(SPARSE, potential_scale=1.0)
    setting = Setting(PixelPoint, LIMIT, 'potential', reward, value)
    subject = OnlineTrainer(lambda rngs: Drq(config, rngs, (3, 16, 16), 1), setting, RUN, [0])
    for step in range(300):
        subject.step(step, 1.0)
    assert subject.evaluate()['success'] == 1.0
    subject.close()
