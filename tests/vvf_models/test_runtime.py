# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.vvf_models.test_checkpoints import write
from tests.vvf_models.toy import SIZE, STATE_DIM, small_bc, small_icvf, toy_episodes
from vvf_models.checkpoints import load_checkpoint, save_checkpoint
from vvf_models.data.images import resize_images
from vvf_models.errors import UserError
from vvf_models.policies.bc import BcPolicy
from vvf_models.runtime import load_policy, load_value
from vvf_models.training import train


@pytest.fixture(scope='module')
def value_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('value')
    write(folder)
    return folder


@pytest.fixture(scope='module')
def policy_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('policy')
    write(folder, 'bc')
    return folder


@pytest.fixture
def value(value_folder):
    return load_value(value_folder)


@pytest.fixture
def policy(policy_folder):
    return load_policy(policy_folder)


def observations(count, size=32, seed=0):
    rng = np.random.default_rng(seed)
    images = {'front': rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)}
    return images, rng.normal(size=(count, STATE_DIM)).astype(np.float32)


def to_network(images):
    return torch.from_numpy(resize_images(images['front'], SIZE)).float() / 127.5 - 1


def test_values_are_those_of_the_eager_module(value, value_folder):
    checkpoint = load_checkpoint(value_folder)
    model, config = checkpoint.model, checkpoint.config
    images, state = observations(5)

    def latents(pixels, numbers):
        scaled = (numbers - torch.tensor(config.state_mean)) / torch.tensor(config.state_std)
        return model.encoder([pixels], scaled)

    with torch.no_grad():
        here = latents(to_network(images), torch.from_numpy(state))
        goal_pixels = checkpoint.goals['front'].float() / 127.5 - 1
        goals = latents(goal_pixels, checkpoint.goals['state'])
        per_goal = []
        for goal in goals:
            repeated = goal.expand_as(here)
            per_goal.append(model.intent_values(here, repeated, repeated))
        heads = torch.stack(per_goal).mean(0)
    answer = value.value(value.encode(images, state))
    np.testing.assert_allclose(answer.value, heads.mean(0).numpy(), atol=1e-4)
    spread = (heads[0] - heads[1]).abs() / 2
    np.testing.assert_allclose(answer.uncertainty, spread.numpy(), atol=1e-4)
    assert answer.progress.shape == (5,)
    assert ((answer.progress >= 0) & (answer.progress <= 1)).all()


def test_a_batch_gives_what_single_observations_give(value):
    images, state = observations(4)
    together = value.value(value.encode(images, state)).value
    alone = [
        value.value(value.encode({'front': images['front'][i : i + 1]}, state[i : i + 1])).value[0]
        for i in range(4)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_what_it_says_about_itself(value):
    assert (value.kind, value.cameras, value.image_size) == ('icvf', ('front',), SIZE)
    assert value.state_dim == STATE_DIM
    assert value.n_goals == 4
    assert value.gamma == 0.98


def test_a_goal_can_be_set_or_given(value):
    images, state = observations(3)
    latents = value.encode(images, state)
    goal_images, goal_state = observations(2, seed=1)
    given = value.value(latents, value.encode(goal_images, goal_state))
    assert not np.allclose(given.value, value.value(latents).value)
    value.set_goal(goal_images, goal_state)
    assert value.n_goals == 2
    np.testing.assert_array_equal(value.value(latents).value, given.value)
    one = value.value(latents, value.encode(goal_images, goal_state)[0])
    assert one.value.shape == (3,)


def test_oblong_images_of_any_size_are_taken(value, policy):
    images = {'front': np.zeros((1, 48, 64, 3), np.uint8), 'unused': np.zeros((1, 2, 2, 3))}
    assert value.encode(images, np.zeros((1, STATE_DIM))).shape[0] == 1
    chunk = policy.act({'front': np.zeros((48, 64, 3), np.uint8)}, np.zeros(STATE_DIM))
    assert chunk.shape == (policy.horizon, policy.action_dim) == (3, 7)


def test_bad_observations_are_refused_in_words(value):
    images, state = observations(2)
    with pytest.raises(ValueError, match=r'no image of camera "front"; .* given: wrist'):
        value.encode({'wrist': images['front']}, state)
    with pytest.raises(ValueError, match='needs a state of 3 numbers'):
        value.encode(images)
    with pytest.raises(ValueError, match=r'must be \(2, 3\), not \(2, 4\)'):
        value.encode(images, np.zeros((2, 4)))
    with pytest.raises(ValueError, match='uint8'):
        value.encode({'front': images['front'].astype(np.float32)}, state)
    for bad in (np.nan, np.inf):
        state[1, 0] = bad
        with pytest.raises(ValueError, match='NaN or infinity'):
            value.encode(images, state)
    with pytest.raises(ValueError, match=r'latents must be'):
        value.value(torch.zeros(1, 7))


def test_the_policy_refuses_what_is_not_finite(policy):
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    with pytest.raises(ValueError, match='NaN or infinity'):
        policy.act({'front': image}, np.array([0.0, np.nan, 0.0]))


def test_policy_actions_are_those_of_the_eager_module(policy, policy_folder):
    model = load_checkpoint(policy_folder).model
    images, state = observations(1)
    with torch.no_grad():
        chunk = model([to_network(images)], torch.from_numpy(state))[0]
    actions = policy.act({'front': images['front'][0]}, state[0])
    assert actions.dtype == np.float32
    scale = np.array([0.045] * 3 + [0.3] * 3)
    np.testing.assert_allclose(actions[:, :6], chunk[:, :6].numpy() * scale, atol=1e-6)
    gripper = ((chunk[:, 6] + 1) / 2).clamp(0, 1)
    np.testing.assert_allclose(actions[:, 6], gripper.numpy(), atol=1e-6)


def test_threads_must_be_positive(value_folder):
    with pytest.raises(UserError, match='threads'):
        load_value(value_folder, threads=0)


def test_goals_kept_as_latents_give_the_values_of_goals_kept_as_images(tmp_path) -> None:
    episodes = toy_episodes(6)
    config = small_icvf()
    for name, images in (('images', True), ('latents', False)):
        train(
            'icvf', episodes, config, tmp_path / name, steps=3, progress=False, goal_images=images
        )
    assert set(load_file(tmp_path / 'latents' / 'goals.safetensors')) == {'latents'}
    seen = {camera: images[:4] for camera, images in episodes[0].images.items()}
    values = []
    for name in ('images', 'latents'):
        runtime = load_value(tmp_path / name)
        latents = runtime.encode(seen, episodes[0].state[:4] if runtime.state_dim else None)
        values.append(runtime.value(latents).value)
    np.testing.assert_allclose(*values, atol=1e-4)


@pytest.mark.parametrize('displacements', [True, False])
def test_a_policy_says_what_its_actions_are(tmp_path, displacements):
    config = small_bc(displacements=displacements)
    save_checkpoint(tmp_path, 'bc', config, BcPolicy(config).state_dict(), 'card')
    assert load_policy(tmp_path).displacements is displacements
