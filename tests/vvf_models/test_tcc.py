# SPDX-License-Identifier: Apache-2.0
"""Temporal cycle consistency: values that follow from its equations, and that it aligns videos."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from vvf_models.values.tcc import (
    LOSSES,
    all_cycles,
    cycle_back,
    cycle_loss,
    random_cycles,
    time_variance_floor,
)

FRAMES = 5
TIMES = torch.arange(FRAMES) / (FRAMES - 1)


def cycles_of(videos, frames=FRAMES):
    return [torch.from_numpy(part) for part in all_cycles(videos, frames)]


def test_equal_videos_of_separate_frames_come_back_to_where_they_set_out():
    videos = 30 * torch.eye(FRAMES).repeat(2, 1, 1)
    cycles, starts = cycles_of(2)
    logits = cycle_back(videos, cycles, starts)
    returned = (logits.softmax(-1) * TIMES).sum(-1)
    torch.testing.assert_close(returned, TIMES[starts])
    times = TIMES.expand(len(starts), -1)
    loss, info = cycle_loss(logits, starts, times, variance_weight=0.01)
    floor = time_variance_floor(FRAMES)
    assert floor == 1 / (12 * FRAMES**2)
    assert loss.item() == pytest.approx(0.01 * math.log(floor), rel=1e-4)
    assert info['tcc_accuracy'] == 1
    assert info['tcc_error'] == pytest.approx(0, abs=1e-6)
    for name in ('regression_mse', 'regression_huber'):
        assert cycle_loss(logits, starts, times, loss=name)[0].item() == pytest.approx(0, abs=1e-9)
    hard, _ = cycle_loss(logits, starts, times, loss='classification', label_smoothing=0.0)
    assert hard.item() == pytest.approx(0, abs=1e-6)


def test_similarity_and_losses_by_hand():
    videos = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    cycle, start = torch.tensor([[0, 1, 0]]), torch.tensor([1])
    # The neighbour of any frame is (1, 1): squared distances 2 and 2, over 2 channels and .5.
    logits = cycle_back(videos, cycle, start, temperature=0.5)
    torch.testing.assert_close(logits, torch.tensor([[-2.0, -2.0]]))
    dots = cycle_back(videos, cycle, start, similarity='cosine', temperature=0.5)
    torch.testing.assert_close(dots, torch.tensor([[0.0, 2.0]]))
    times = torch.tensor([[0.0, 1.0]])
    # μ = .5, σ² = .25, true 1.
    loss = {name: cycle_loss(logits, start, times, loss=name)[0].item() for name in LOSSES}
    variance = 0.25 + time_variance_floor(2)
    assert loss['regression_mse'] == pytest.approx(0.25)
    assert loss['regression_huber'] == pytest.approx(0.1 * (0.5 - 0.05))
    assert loss['regression_mse_var'] == pytest.approx(0.25 / variance + 0.001 * math.log(variance))
    assert loss['classification'] == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match='regression_mse_var'):
        cycle_loss(logits, start, times, loss='mse')
    with pytest.raises(ValueError, match='l2, cosine'):
        cycle_back(videos, cycle, start, similarity='dot')


def test_cycles_go_through_different_videos_and_back():
    cycles, starts = all_cycles(3, 4)
    assert cycles.shape == (3 * 2 * 4, 3)
    assert Counter(map(tuple, cycles)) == {
        (u, v, u): 4 for u in range(3) for v in range(3) if u != v
    }
    assert Counter(starts) == dict.fromkeys(range(4), 6)
    rng = np.random.default_rng(0)
    cycles, starts = random_cycles(rng, 4000, 4, 6, 3)
    assert (cycles[:, 0] == cycles[:, -1]).all()
    assert all(len(set(cycle)) == 3 for cycle in cycles[:, :-1])
    counts = Counter(map(tuple, cycles))
    assert len(counts) == 24
    assert max(counts.values()) < 1.5 * min(counts.values())
    assert np.bincount(starts) == pytest.approx([4000 / 6] * 6, abs=100)
    for length in (1, 5):
        with pytest.raises(ValueError, match='2 to 4 videos'):
            random_cycles(rng, 1, 4, 6, length)


@pytest.mark.parametrize('loss', LOSSES)
def test_gradients_flow_and_stay_finite(loss):
    torch.manual_seed(0)
    videos = torch.randn(3, FRAMES, 4, requires_grad=True)
    cycles, starts = cycles_of(3)
    times = TIMES.expand(len(starts), -1)
    cycle_loss(cycle_back(videos, cycles, starts), starts, times, loss=loss)[0].backward()
    assert torch.isfinite(videos.grad).all()
    assert (videos.grad.abs().amax((1, 2)) > 0).all()
    sure = (40 * torch.randn(3, FRAMES, 4)).requires_grad_()  # σ² underflows to 0
    cycle_loss(cycle_back(sure, cycles, starts), starts, times, loss=loss)[0].backward()
    assert torch.isfinite(sure.grad).all()


@pytest.mark.parametrize('stochastic', [False, True])
@pytest.mark.parametrize('loss', LOSSES)
def test_it_aligns_what_two_cameras_see(loss, stochastic):
    """Each video shows the same course of a hidden phase through a random map of its own."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    frames, videos = 12, 3
    times = torch.arange(frames) / (frames - 1)
    phase = torch.stack([torch.sin(k * math.pi * times + k) for k in (0.5, 1, 2, 3)], 1)
    shown = torch.stack([phase @ torch.randn(4, 8) for _ in range(videos)])
    maps = [torch.nn.Linear(8, 6) for _ in range(videos)]
    optimizer = torch.optim.Adam([p for m in maps for p in m.parameters()], 2e-2)

    def embed():
        return torch.stack([m(video) for m, video in zip(maps, shown, strict=True)])

    every = cycles_of(videos, frames)
    for _ in range(250):
        drawn = random_cycles(rng, 30, videos, frames, 3)
        cycles, starts = map(torch.from_numpy, drawn) if stochastic else every
        logits = cycle_back(embed(), cycles, starts)
        objective, _ = cycle_loss(logits, starts, times.expand(len(starts), -1), loss=loss)
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
    with torch.no_grad():
        cycles, starts = every
        logits = cycle_back(embed(), cycles, starts)
        _, info = cycle_loss(logits, starts, times.expand(len(starts), -1))
    assert info['tcc_error'] < 0.1  # one frame; without training it is .26
