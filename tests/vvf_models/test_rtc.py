# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking: closed forms for normally distributed chunks, and seams without a jump."""

import math

import pytest
import torch

from tests.vvf_models.test_recap import small
from vvf_models.policies.flow import integrate
from vvf_models.policies.recap import RecapPolicy
from vvf_models.policies.rtc import continue_chunk, soft_mask, steered

FREE = 1e9  # no bound on the guidance


def gaussian(covariance):
    """The exact velocity of chunks whose steps are normal with that covariance (H, H)."""
    eye = torch.eye(len(covariance))

    def velocity(chunk, time):
        t = time[0]
        gain = t * covariance @ torch.linalg.inv(t**2 * covariance + (1 - t) ** 2 * eye)
        return (gain @ chunk - chunk) / (1 - t)

    return velocity


def test_the_mask_is_the_papers():
    mask = soft_mask(8, 2, 6)
    c = 3 / 5  # (H - s - i) / (H - s - d + 1) for i = 3, H - s = 6, d = 2
    assert mask[3] == pytest.approx(c * (math.e**c - 1) / (math.e - 1))
    assert mask[:2].tolist() == [1, 1]
    assert mask[6:].tolist() == [0, 0]
    assert (mask.diff()[1:6] < 0).all()


def test_independent_steps_are_reproduced_where_frozen_and_free_elsewhere():
    """For N(0, 1) unbounded guidance makes v = (Y - A) / (1 - t): a straight way to Y."""
    generator = torch.Generator().manual_seed(0)
    noise, previous = (torch.randn(3, 6, 2, generator=generator) for _ in range(2))
    velocity = gaussian(torch.eye(6))
    mask = soft_mask(6, 2, 2)
    led = integrate(steered(velocity, previous, mask, FREE), noise, 10)
    torch.testing.assert_close(led[:, :2], previous[:, :2], atol=1e-5, rtol=0)
    torch.testing.assert_close(led[:, 2:], integrate(velocity, noise, 10)[:, 2:])


def test_with_nothing_to_go_on_from_it_is_plain_sampling():
    torch.manual_seed(0)
    policy = RecapPolicy(small(state_dim=0)).eval()
    context, noise = torch.randn(2, policy.norm.normalized_shape[0]), torch.randn(2, 6, 7)
    plain = policy.sample(context, noise)
    assert torch.equal(plain, policy.sample(context, noise, previous=torch.zeros(2, 0, 7)))


def test_a_policy_keeps_what_is_frozen_and_heeds_what_was_planned():
    torch.manual_seed(0)
    policy = RecapPolicy(small(state_dim=0)).eval().requires_grad_(False)
    context, noise = torch.randn(2, policy.norm.normalized_shape[0]), torch.randn(2, 6, 7)
    previous = torch.randn(2, 4, 7)
    drawn = policy.sample(context, noise, previous=previous, frozen=2)
    assert torch.equal(drawn[:, :2], previous[:, :2])
    plain = policy.sample(context, noise)
    soft = (drawn[:, 2:4] - previous[:, 2:]).abs().mean()
    assert soft < (plain[:, 2:4] - previous[:, 2:]).abs().mean()


def test_no_more_is_frozen_than_was_planned():
    torch.manual_seed(0)
    noise, previous = torch.randn(1, 6, 2), torch.randn(1, 2, 2)
    velocity = gaussian(torch.eye(6))
    drawn = continue_chunk(velocity, noise, previous, 4, 10)
    torch.testing.assert_close(drawn, continue_chunk(velocity, noise, previous, 2, 10))
    assert drawn[:, 2:].abs().min() > 0


def test_chunks_that_go_on_from_one_another_have_no_jump_at_the_seam():
    """Eighty chunks of a smooth process: at the seam the change is like that within a chunk."""
    horizon, execute, frozen = 12, 4, 2
    step = torch.arange(horizon, dtype=torch.float32)
    smooth = torch.exp(-((step[:, None] - step) ** 2) / (2 * 4.0**2)) + 1e-4 * torch.eye(horizon)
    velocity = gaussian(smooth)
    generator = torch.Generator().manual_seed(0)

    def seams(goes_on):
        last, jumps, within = None, [], []
        for _ in range(80):
            noise = torch.randn(1, horizon, 1, generator=generator)
            if last is not None and goes_on:
                # Observed `frozen` steps before the last chunk's executed steps are over.
                known = last[:, execute:]
                chunk = continue_chunk(velocity, noise, known, frozen, 10)
            else:
                chunk = integrate(velocity, noise, 10)
            if last is not None:
                jumps.append((chunk[0, frozen] - last[0, execute + frozen - 1]).abs())
            within.append(chunk[0, frozen : frozen + execute].diff(dim=0).abs().max())
            last = chunk
        return torch.stack(jumps), torch.stack(within)

    jumps, within = seams(goes_on=True)
    assert jumps.mean() < 1.5 * within.mean()
    assert jumps.max() < 2 * within.max()
    cold, _ = seams(goes_on=False)
    assert cold.mean() > 3 * jumps.mean(), 'which is not so without'
