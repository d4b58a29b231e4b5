# SPDX-License-Identifier: Apache-2.0
"""What the trainer does for every kind of model."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.vvf_models.toy import (
    SIZE,
    small_bc,
    small_distributional,
    small_icvf,
    toy_episode,
    toy_episodes,
    toy_store,
)
from vvf_models.checkpoints import CONFIGS, load_checkpoint
from vvf_models.config import from_mapping
from vvf_models.errors import UserError
from vvf_models.training import train
from vvf_models.training.icvf import IcvfLearner
from vvf_models.training.trainer import LearnerTrainer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def store():
    return toy_store(24)


def test_training_stops_where_the_held_out_episodes_gain_no_more(store, tmp_path):
    # Without a learning rate to speak of, no evaluation after the first can be better.
    config = small_bc(learning_rate=1e-12, ema_decay=0.0, evaluate_every=2, patience=3)
    metrics = train('bc', store, config, tmp_path, steps=500, progress=False)
    assert metrics['stopped_early'] == 1
    assert metrics['interrupted'] == 0
    assert metrics['steps'] <= 12
    assert not (tmp_path / '.resume').exists()


def test_curves_are_there_for_tensorboard_and_numbers_for_programs(store, tmp_path):
    metrics = train('icvf', store, small_icvf(), tmp_path, steps=20, progress=False)
    events = EventAccumulator(str(tmp_path / 'tensorboard')).Reload()
    steps = [event.step for event in events.Scalars('held/out_spearman_mean')]
    assert steps == [10, 20]
    written = json.loads((tmp_path / 'metrics.json').read_text())
    assert written == pytest.approx(metrics, nan_ok=True)
    assert 0 <= written['waiting_share'] <= 1
    assert written['samples_per_s'] > 0


def test_a_run_starts_from_the_weights_of_another(store, tmp_path):
    train('icvf', store, small_icvf(), tmp_path / 'video', steps=20, seed=3, progress=False)
    begun = load_file(tmp_path / 'video' / 'model.safetensors')
    frozen = small_icvf(freeze_encoder=True)
    train(
        'icvf', store, frozen, tmp_path / 'robot', steps=5, progress=False, init=tmp_path / 'video'
    )
    after = load_file(tmp_path / 'robot' / 'model.safetensors')
    for name, tensor in begun.items():
        stays = name.startswith('encoder.cameras.0.layers.')
        assert torch.equal(tensor, after[name]) == stays, name
    with pytest.raises(UserError, match='of kind "icvf", but "bc" is wanted'):
        train('bc', store, small_bc(), tmp_path / 'x', steps=1, init=tmp_path / 'video')
    other = small_icvf(latent_dim=8, state_latent_dim=4, hidden=(9,), width=16)
    with pytest.raises(UserError, match='No weight'):
        train('icvf', store, other, tmp_path / 'y', steps=1, init=tmp_path / 'video')


def test_weights_that_none_was_found_for_are_named_and_never_frozen(store, tmp_path, caplog):
    train('icvf', store, small_icvf(), tmp_path / 'one', steps=2, progress=False)
    episodes = [toy_episode(seed, cameras=('front', 'wrist')) for seed in range(12)]
    two = small_icvf(cameras=('front', 'wrist'))
    how = {'steps': 2, 'progress': False, 'init': tmp_path / 'one'}
    train('icvf', episodes, two, tmp_path / 'two', **how)
    assert 'weights begin as they were drawn' in caplog.text
    assert 'encoder.cameras.1.' in caplog.text
    frozen = small_icvf(cameras=('front', 'wrist'), freeze_encoder=True)
    with pytest.raises(UserError, match='with --init-encoder'):
        train('icvf', episodes, frozen, tmp_path / 'three', **how)
    how = {'steps': 2, 'progress': False, 'init_encoder': tmp_path / 'one'}
    train('icvf', episodes, frozen, tmp_path / 'three', **how)  # both begin as the only one


@pytest.mark.parametrize(
    ('kind', 'config'), [('icvf', small_icvf()), ('distributional', small_distributional())]
)
def test_fine_tuning_keeps_the_units_of_the_state(kind, config, store, tmp_path):
    how = {'steps': 1, 'progress': False}
    train(kind, store, config, tmp_path / 'before', **how)
    others = [replace(e, state=3 * e.state + 1) for e in toy_episodes(12)]
    train(kind, others, config, tmp_path / 'after', init=tmp_path / 'before', **how)
    before, after = (load_checkpoint(tmp_path / name).config for name in ('before', 'after'))
    assert before.state_mean == after.state_mean != ()
    assert before.state_std == after.state_std
    train(kind, others, config, tmp_path / 'anew', **how)
    assert load_checkpoint(tmp_path / 'anew').config.state_mean != before.state_mean


def test_encoders_go_from_one_kind_of_model_to_another(store, tmp_path):
    train('icvf', store, small_icvf(), tmp_path / 'video', steps=5, seed=3, progress=False)
    begun = load_file(tmp_path / 'video' / 'model.safetensors')
    frozen = small_distributional(freeze_encoder=True)
    how = {'steps': 2, 'progress': False, 'init_encoder': tmp_path / 'video'}
    train('distributional', store, frozen, tmp_path / 'robot', **how)
    after = load_file(tmp_path / 'robot' / 'model.safetensors')
    for name, tensor in begun.items():
        if name.startswith('encoder.cameras.0.layers.'):
            assert torch.equal(tensor, after[f'backbone.{name}']), name
    other = small_icvf(width=16)
    with pytest.raises(UserError, match='another architecture'):
        train('icvf', store, other, tmp_path / 'y', **how)
    with pytest.raises(UserError, match='no image encoders'):
        train('bc', store, small_bc(), tmp_path / 'z', **how)


def test_each_step_draws_its_own_batch_whatever_was_drawn_before(store):
    def batch_of(step, *before):
        trainer = LearnerTrainer(IcvfLearner.create(small_icvf(), store, 0))
        try:
            for number in before:
                trainer.prefetcher.get(number)
            return trainer.prefetcher.get(step)
        finally:
            trainer.close()

    first, again = batch_of(2), batch_of(2, 0, 1)
    for one, two in zip(first.images, again.images, strict=True):
        assert torch.equal(one, two)
    assert torch.equal(first.state, again.state)
    assert not torch.equal(first.images[0][:4], batch_of(3).images[0][:4])


def test_held_out_losses_are_of_the_weights_that_are_kept(store):
    trainer = LearnerTrainer(IcvfLearner.create(small_icvf(), store, 0))
    try:
        first = trainer.evaluate()
        with torch.no_grad():
            for parameter in trainer.learner.model.parameters():
                parameter.add_(1.0)
        second = trainer.evaluate()
    finally:
        trainer.close()
    assert first['held_out_loss'] == second['held_out_loss']


def test_held_out_losses_are_of_the_same_samples_each_time(store):
    trainer = LearnerTrainer(IcvfLearner.create(small_icvf(), store, 0))
    try:
        first, second = trainer.evaluate(), trainer.evaluate()
    finally:
        trainer.close()
    assert first['held_out_loss'] == second['held_out_loss']
    assert {'held_out_loss', 'seen_loss', 'seen_auc_end', 'held_out_auc_end'} <= set(first)


_TWO = """
import sys
sys.path.insert(0, {root!r})
from tests.vvf_models.toy import small_icvf, toy_store
from vvf_models.training import train
train('icvf', toy_store(12), small_icvf(), {out!r}, steps=12, progress=False)
"""


def test_two_processes_train_one_model(tmp_path):
    script = tmp_path / 'two.py'
    out = tmp_path / 'out'
    script.write_text(_TWO.format(root=str(ROOT), out=str(out)))
    # Standalone: a rendezvous of its own, on a free port of this host.
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2', '--standalone']
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    environment |= {'ACCELERATE_USE_CPU': 'true', 'GLOO_SOCKET_IFNAME': 'lo'}
    done = subprocess.run(
        [*command, str(script)], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_checkpoint(out).config.image_size == SIZE
    lines = [json.loads(line) for line in (out / 'log.jsonl').read_text().splitlines()]
    assert [line['step'] for line in lines] == [10, 12]  # one process writes
    train('icvf', toy_store(12), small_icvf(), tmp_path / 'alone', steps=12, progress=False)
    both, alone = (load_file(f / 'model.safetensors') for f in (out, tmp_path / 'alone'))
    # The other process brought samples of its own.
    assert not all(torch.equal(both[name], alone[name]) for name in both)


@pytest.mark.parametrize('path', sorted((ROOT / 'config' / 'models').glob('*.yaml')), ids=str)
def test_every_preset_is_a_configuration(path):
    entries = yaml.safe_load(path.read_text())
    kind = entries.pop('kind')
    config = from_mapping(CONFIGS[kind], entries, str(path), partial=True)
    for key, value in entries.items():
        found = getattr(config, key)
        assert np.all(np.asarray(found) == np.asarray(value)), key
