# SPDX-License-Identifier: Apache-2.0
"""ViVa's frames, times, costs and losses against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import SIZE, STATE_DIM, small_viva, toy_store
from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN
from vvf_models.errors import UserError
from vvf_models.training.viva import costs_to_go
from vvf_models.values.base import Goal
from vvf_models.values.viva import RangeNormaliser, Viva
from vvf_models.values.viva_flow import (
    draw_sigma,
    flow_loss,
    read_repeated,
    repeat_pad,
    schedule,
    shift_times,
    token_times,
)

WAN_FRAME = (48, 24, 20)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    model = Viva(small_viva(cameras=('front', 'wrist'), marks=False)).eval()
    torch.nn.init.normal_(model.backbone.proj_out.weight)  # it starts with nothing to say
    return model


def observations(model, batch=2, seed=1):
    source = torch.Generator().manual_seed(seed)
    images = [
        torch.rand(batch, 3, SIZE, SIZE, generator=source) * 2 - 1 for _ in model.config.cameras
    ]
    return images, torch.rand(batch, STATE_DIM, generator=source) * 2 - 1


def test_a_state_of_14_fits_1645_times_into_a_frame_of_the_authors():
    state = torch.randn(2, 14)
    frame = repeat_pad(state, WAN_FRAME)
    flat = frame.flatten(1)
    assert flat.shape[1] == 23040 == 1645 * 14 + 10
    torch.testing.assert_close(flat[:, : 1645 * 14].view(2, 1645, 14)[:, 7], state)
    torch.testing.assert_close(flat[:, -10:], state[:, :10])
    frame.flatten(1)[:, -10:] = 1e6  # the copy that is cut off is not read
    torch.testing.assert_close(read_repeated(frame, 14), state)
    frame.flatten(1)[:, 3] += 1645.0
    torch.testing.assert_close(read_repeated(frame, 14)[:, 3], state[:, 3] + 1, atol=1e-3, rtol=0)


def test_times_are_shifted_as_the_authors_shift_them():
    assert float(shift_times(torch.tensor(0.5), 5)) == pytest.approx(5 * 0.5 / 3)
    assert shift_times(torch.tensor([0.0, 1.0]), 5).tolist() == [0, 1]
    assert float(shift_times(torch.tensor(0.3), 1)) == pytest.approx(0.3)
    assert schedule(small_viva()) == [1, 0]
    assert schedule(small_viva(denoising_steps=2)) == pytest.approx([1, 0.8333333, 0])
    # "extra_one_step": 1000 of 1001 points, so the last of the steps before 0 is not 0 itself.
    thousand = schedule(small_viva(denoising_steps=1000))
    assert len(thousand) == 1001
    assert thousand[-2] == pytest.approx(5 * 0.001 / (1 + 4 * 0.001))


def test_the_share_of_noise_is_drawn_as_configured():
    torch.manual_seed(0)
    uniform = draw_sigma(20_000, small_viva(sigma_shift=1.0, full_noise=0.0))
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.01)
    shifted = draw_sigma(20_000, small_viva(sigma_shift=5.0, full_noise=0.0))
    assert float(shifted.median()) == pytest.approx(0.8333, abs=0.01)
    half = draw_sigma(20_000, small_viva(full_noise=0.5))
    assert float((half == 1).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(half.min()) > 0


def test_clean_tokens_have_time_0_and_noisy_ones_that_of_their_noise():
    times = token_times(torch.tensor([1.0, 0.25]), 2, 1, 3)
    assert times.tolist() == [[0] * 6 + [1000] * 3, [0] * 6 + [250] * 3]


def test_the_transformer_gets_these_times_and_frames(model):
    seen = {}

    def record(module, arguments, given):
        seen.update(given)

    images, state = observations(model)
    latents = model.encode(images, state)
    hook = model.backbone.register_forward_pre_hook(record, with_kwargs=True)
    model.values(latents, Goal())
    hook.remove()
    frames = seen['hidden_states'].transpose(1, 2)
    assert frames.shape == (2, 6, *model.shape)
    assert not frames[:, 0].any()
    torch.testing.assert_close(read_repeated(frames[:, 1], STATE_DIM), state)
    for number in range(2):
        torch.testing.assert_close(frames[:, 2 + number], model.codec.encode(images[number]))
    torch.testing.assert_close(frames[:, 4:], model.noise.expand(2, -1, -1, -1, -1))
    assert seen['timestep'].shape == (2, 6 * model.frame_tokens)
    assert (seen['timestep'] > 0).sum(1).tolist() == [2 * model.frame_tokens] * 2


@pytest.mark.parametrize(
    ('changes', 'clean', 'noisy'),
    [
        ({}, 4, 2),
        ({'blank': False}, 3, 2),
        ({'future': False}, 4, 1),
        ({'state_dim': 0}, 3, 1),
        ({'objective': 'video'}, 4, 3),
        ({'objective': 'video', 'state_dim': 0}, 3, 2),
    ],
)
def test_which_frames_there_are(changes, clean, noisy):
    model = Viva(small_viva(cameras=('front', 'wrist'), **changes))
    assert (model.n_clean, model.n_noisy) == (clean, noisy)
    images, state = observations(model)
    latents = model.encode(images, state if model.config.state_dim else None)
    assert latents.shape == (2, model.latent_size)
    assert model.generate(latents).shape == (2, noisy, *model.shape)


def test_the_tokens_of_a_camera_are_those_that_its_image_changes(model):
    tokens = []
    hook = model.backbone.patch_embedding.register_forward_hook(
        lambda module, given, output: tokens.append(output.flatten(2).transpose(1, 2))
    )
    images, state = observations(model, 1)
    model.values(model.encode(images, state), Goal())
    for number in range(2):
        changed = list(images)
        changed[number] = -images[number]
        model.values(model.encode(changed, state), Goal())
        where = (tokens[0] != tokens[-1]).any(2)[0].nonzero().flatten()
        part = model.camera_tokens(number)
        assert where.tolist() == list(range(part.start, part.stop))
    hook.remove()
    assert model.token_grid == (2, 2)
    assert part.stop - part.start == 4


def test_marks_tell_frames_apart_and_belong_to_what_a_frame_is():
    value = Viva(small_viva(cameras=('front', 'wrist')))
    video = Viva(small_viva(cameras=('front', 'wrist'), objective='video', state_dim=0))
    names = ['blank', 'state', 'camera_0', 'camera_1', 'future_state', 'value']
    assert set(value.marks) == set(names)
    assert {'camera_1', 'future_camera_1'} <= set(video.marks)
    assert 'state' not in video.marks
    seen = []
    value.backbone.patch_embedding.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    clean = torch.randn(1, value.n_clean, *value.shape)
    noisy = torch.randn(1, value.n_noisy, *value.shape)
    value.denoise(clean, noisy, torch.ones(1), None)
    marks = torch.stack([value.marks[name] for name in names])
    torch.testing.assert_close(seen[0][0].transpose(0, 1), torch.cat([clean, noisy], 1)[0] + marks)


def test_from_scratch_blocks_are_heard_and_the_output_is_small():
    model = Viva(small_viva())
    for block in model.backbone.blocks:
        gates = block.scale_shift_table[0, [2, 5]]
        assert float(gates.detach().mean()) == pytest.approx(1.0, abs=0.1)
    clean = torch.randn(1, model.n_clean, *model.shape)
    noisy = torch.randn(1, model.n_noisy, *model.shape)
    output = model.denoise(clean, noisy, torch.ones(1), None)
    assert 0 < float(output.detach().square().mean()) < 0.05


def test_a_hidden_state_is_the_middle_of_its_range(model):
    images, state = observations(model)
    hidden = model.encode(images, state, torch.tensor([True, False]))
    middle = model.encode(images, torch.zeros_like(state))
    assert torch.equal(hidden[0], middle[0])
    assert torch.equal(hidden[1], model.encode(images, state)[1])
    with pytest.raises(ValueError, match='needs a state'):
        model.encode(images, None)
    with pytest.raises(ValueError, match='2 cameras are needed, 1 given'):
        model.encode(images[:1], state)


@pytest.mark.parametrize('output', ['velocity', 'sample'])
@pytest.mark.parametrize('steps', [1, 4])
def test_a_perfect_network_gives_the_frames_back_in_any_number_of_steps(output, steps, monkeypatch):
    model = Viva(small_viva(output=output, denoising_steps=steps))
    wanted = torch.randn(3, model.n_noisy, *model.shape)
    wanted[:, -1] = torch.tensor([-1.0, 0.0, 0.75])[:, None, None, None]

    def perfect(clean, noisy, sigma, text):
        if output == 'sample':
            return wanted
        return (noisy - wanted) / sigma[:, None, None, None, None]  # n - x on the way

    monkeypatch.setattr(model, 'denoise', perfect)
    latents = torch.zeros(3, model.latent_size)
    torch.testing.assert_close(model.generate(latents), wanted, atol=1e-4, rtol=0)
    # A frame of cost - 1: done, a whole episode left, and failing with three quarters left.
    value = model.values(latents, Goal())
    torch.testing.assert_close(value, torch.tensor([[0.0, -1.0, -1.75]]), atol=1e-4, rtol=0)
    assert model.progress(value[0]).tolist() == pytest.approx([1, 0, 0], abs=1e-4)


def test_estimates_repeat_themselves_and_hang_on_the_seed_of_the_noise(model):
    images, state = observations(model)
    latents = model.encode(images, state)
    first = model.values(latents, Goal())
    torch.manual_seed(99)
    assert torch.equal(model.values(latents, Goal()), first)
    alone = torch.cat([model.values(row[None], Goal()) for row in latents], 1)
    torch.testing.assert_close(alone, first, atol=1e-5, rtol=0)
    assert not torch.equal(Viva(small_viva(noise_seed=1)).noise, Viva(small_viva()).noise)


def test_the_loss_of_velocity_and_of_sample_by_hand():
    clean, noise = torch.zeros(2, 2, 1, 1, 2), torch.ones(2, 2, 1, 1, 2)
    sigma, weight = torch.tensor([0.5, 1.0]), torch.tensor([[0.5, 1.0], [0.5, 0.0]])
    output = torch.zeros_like(clean)
    output[0, 0], output[0, 1], output[1, 0] = 0.2, 0.4, 0.6
    # Sample: the error over σ; the last frame of the second row is not known.
    loss, parts = flow_loss(output, clean, noise, sigma, weight, small_viva(output='sample'))
    state, value = (0.4**2 + 0.6**2) / 2, 0.8**2
    torch.testing.assert_close(parts, torch.tensor([state, value]))
    assert float(loss) == pytest.approx(0.5 * state + value)
    # Velocity: n - x is 1 everywhere.
    loss, parts = flow_loss(output, clean, noise, sigma, weight, small_viva(output='velocity'))
    state, value = (0.8**2 + 0.4**2) / 2, 0.6**2
    torch.testing.assert_close(parts, torch.tensor([state, value]))
    # Nothing is known of the value: nothing is learned about it, and nothing breaks.
    loss, parts = flow_loss(
        output, clean, noise, sigma, torch.tensor([[1.0, 0.0]] * 2), small_viva(output='velocity')
    )
    torch.testing.assert_close(parts, torch.tensor([state, 0.0]))
    assert float(loss) == pytest.approx(state)


def test_both_outputs_weigh_an_error_alike():
    clean, noise = torch.randn(4, 1, 2, 3, 3), torch.randn(4, 1, 2, 3, 3)
    sigma = torch.tensor([0.3, 0.5, 0.9, 1.0])
    share = sigma[:, None, None, None, None]
    velocity = noise - clean + 0.1 * torch.randn_like(clean)
    sample = (1 - share) * clean + share * noise - share * velocity
    known = torch.ones(4, 1)
    one, _ = flow_loss(velocity, clean, noise, sigma, known, small_viva(output='velocity'))
    other, _ = flow_loss(sample, clean, noise, sigma, known, small_viva(output='sample'))
    torch.testing.assert_close(one, other)


def test_costs_are_remaining_shares_and_failures_cost_one_more():
    store = toy_store(3)
    store.lengths[:], store.starts[:] = 5, (0, 5, 10)
    store.success_index[:] = (-1, 2, -1)
    store.outcome[:] = (FAILURE, SUCCESS, UNKNOWN)
    cost, known = costs_to_go(store)
    np.testing.assert_allclose(cost[:5], [2, 1.75, 1.5, 1.25, 1])
    np.testing.assert_allclose(cost[5:10], [1, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(known, [True] * 10 + [False] * 5)
    cost, known = costs_to_go(store, unlabelled_as_success=True)
    np.testing.assert_allclose(cost[10:], [1, 0.75, 0.5, 0.25, 0])
    assert known.all()
    store.lengths[:], store.starts[:] = 1, (0, 1, 2)
    store.success_index[:] = (-1, 0, -1)
    np.testing.assert_allclose(costs_to_go(store)[0], [1, 0, 0])


def test_a_state_is_mapped_from_its_range():
    config = small_viva(state_low=(0.0, -2.0, 5.0), state_high=(1.0, 2.0, 5.0))
    normalise = RangeNormaliser(config)
    mapped = normalise(torch.tensor([[0.0, 2.0, 5.0], [0.5, 1.0, 5.0], [9.0, -9.0, 5.0]]))
    torch.testing.assert_close(mapped, torch.tensor([[-1.0, 1, 0], [0, 0.5, 0], [1, -1, 0]]))
    # Without a range, that of the authors.
    assert RangeNormaliser(small_viva())(torch.tensor([[1.5, 0, -9]])).tolist() == [[0.5, 0, -1]]


def test_units_of_the_value():
    model = Viva(small_viva(episode_steps=25.0))
    assert (model.discount, model.step_cost, model.failure_value) == (1.0, 0.04, -1.0)
    progress = model.progress(torch.tensor([-2.0, -1.0, -0.6, -0.2, 0.1]))
    assert progress.tolist() == pytest.approx([0, 0, 0.4, 0.8, 1])


def test_a_model_of_video_has_no_values():
    model = Viva(small_viva(objective='video'))
    with pytest.raises(UserError, match='knows no values'):
        model.values(torch.zeros(1, model.latent_size), Goal())
    assert model.failure_value is None


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'codec': 'jpeg'}, 'codec'),
        ({'output': 'noise'}, 'output'),
        ({'objective': 'policy'}, 'objective'),
        ({'text': 'speech'}, 'text'),
        ({'codec_channels': 49}, 'codec_channels'),
        ({'image_size': 20}, 'multiples of 8'),
        ({'codec': 'wan-vae'}, 'frame_size'),
        ({'freeze_encoder': True}, 'freeze_encoder'),
        ({'denoising_steps': 0}, 'denoising_steps'),
        ({'horizon': 0}, 'horizon'),
        ({'state_low': (0.0,)}, 'state_low'),
        ({'full_noise': 2.0}, 'full_noise'),
    ],
)
def test_bad_configurations_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        replace(small_viva(), **changes)
