# SPDX-License-Identifier: Apache-2.0
"""CQL with a gripper that is shut or open: its objective by hand, and the policy at run time."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.vvf_models.toy import small_cql, toy_store
from vvf_models.checkpoints import load_config
from vvf_models.errors import UserError
from vvf_models.policies.cql import Cql
from vvf_models.policies.cql_actions import (
    ActionDistribution,
    draw_grips,
    expected_q,
    grip_log_prob,
    shut_or_open,
    soft_q,
    with_grips,
)
from vvf_models.policies.cql_losses import (
    actor_loss,
    backup_target,
    conservative_loss,
)
from vvf_models.policies.cql_networks import tanh_gaussian
from vvf_models.runtime import load_policy
from vvf_models.training import train
from vvf_models.training.cql import CqlLearner
from vvf_models.training.trainer import LearnerTrainer

THIRD = grip_log_prob(torch.tensor([-math.log(2.0)]))  # open with probability 1/3


def test_probabilities_of_motion_and_gripper_come_to_one():
    policy = ActionDistribution(tanh_gaussian(torch.tensor([[0.4]]), torch.tensor([[-0.3]])), THIRD)
    assert THIRD.exp()[:, 0].tolist() == pytest.approx([2 / 3, 1 / 3])
    grid = torch.linspace(-1 + 1e-5, 1 - 1e-5, 20001)
    actions = with_grips(grid[:, None, None], binary=True)
    assert actions.shape == (2, 20001, 1, 2)
    assert (actions[0, ..., 1] == -1).all()
    assert (actions[1, ..., 1] == 1).all()
    masses = torch.trapezoid(policy.log_prob(actions).exp()[..., 0], grid)
    assert masses.tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-3)
    drawn = policy.drawn.log_prob(grid[:, None, None])
    torch.testing.assert_close(policy.log_prob(actions), drawn + THIRD[:, None])
    assert with_grips(actions[0], binary=False).shape == (1, 20001, 1, 2)
    assert shut_or_open(torch.tensor([[0.3, -0.1], [0.2, 0.0]]))[:, 1].tolist() == [-1, 1]


def test_of_a_table_of_q_the_target_is_the_mean_over_grippers_of_the_best_motion():
    # Two motions: Q is 3 shut and 0 open of the first, 1.5 and 4.5 of the second.
    q = torch.tensor([[[3.0], [1.5]], [[0.0], [4.5]]])
    mean = expected_q(q, THIRD)
    assert mean[:, 0].tolist() == pytest.approx([2.0, 2.5])
    target = backup_target(torch.tensor([-1.0]), torch.ones(1), mean[None], 0.5)
    assert target.item() == pytest.approx(-1 + 0.5 * 2.5)


def test_of_a_table_of_q_the_actors_best_gripper_is_the_softmax():
    q, temperature = torch.tensor([[[1.0], [2.0]], [[5.0], [1.5]]]), torch.tensor(0.7)
    log_prob = torch.tensor([0.3])
    expected = 0.7 * 0.3 + sum(
        p * (0.7 * math.log(p) - smaller) for p, smaller in ((2 / 3, 1.0), (1 / 3, 1.5))
    )
    assert actor_loss(q, log_prob, THIRD, temperature)[0].item() == pytest.approx(expected)
    # The least loss is at log odds of the difference in Q by the temperature.
    best = torch.tensor([0.5 / 0.7], requires_grad=True)
    actor_loss(q, log_prob, grip_log_prob(best), temperature)[0].backward()
    assert best.grad.item() == pytest.approx(0, abs=1e-6)
    # Whatever the gripper is now, even far on the wrong side, the loss leads to the better one.
    wrong = torch.tensor([-3.0], requires_grad=True)
    actor_loss(q, log_prob, grip_log_prob(wrong), temperature)[0].backward()
    assert wrong.grad.item() < 0


@pytest.mark.parametrize('version', [1, 2, 3])
def test_a_q_that_heeds_no_gripper_gives_what_a_continuous_one_gives(version):
    torch.manual_seed(0)
    policy_q, random_q = torch.randn(2, 2, 1, 4, 3)
    of_motion, data_q = torch.randn(4, 3), torch.randn(2, 3)
    one, half = torch.zeros(1, 3), torch.full((2, 3), math.log(0.5))
    # A continuous gripper, drawn evenly from [-1, 1], has the density 1/2.
    of_all = of_motion + math.log(0.5)
    plain = (soft_q(policy_q, one, version), of_all, soft_q(random_q, one, version), 7, version)
    twice = [q.expand(-1, 2, -1, -1) for q in (policy_q, random_q)]
    both = [soft_q(q, half, version) for q in twice]
    binary = (both[0], of_motion, both[1], 6, version)
    expected = conservative_loss(data_q, *plain)[0]
    torch.testing.assert_close(conservative_loss(data_q, *binary)[0], expected)
    torch.testing.assert_close(expected_q(twice[0], THIRD.expand(2, 3)), policy_q[:, 0])
    temperature = torch.tensor(0.4)
    of_binary = actor_loss(twice[0][:, :, 0], of_motion[0], half, temperature)[0]
    of_plain = actor_loss(policy_q[:, :, 0], of_all[0], one, temperature)[0]
    torch.testing.assert_close(of_binary, of_plain)


def test_of_a_table_of_q_the_conservative_term_is_the_sum_over_grippers():
    q = torch.tensor([[[[1.0]], [[3.0]]]])  # of one motion, shut and open
    drawn, data_q, length = torch.tensor([[0.2]]), torch.tensor([[2.0]]), math.exp(1) + math.exp(3)
    given = (soft_q(q, THIRD, 3), drawn, soft_q(q, THIRD, 3), 1, 3)
    expected = math.log(length * math.exp(-0.2) + 2 * length) - 2  # [-1, 1] is 2 long
    assert conservative_loss(data_q, *given)[0].item() == pytest.approx(expected, rel=1e-5)
    mean = math.log(2 / 3 * math.exp(1) + 1 / 3 * math.exp(3))
    assert soft_q(q, THIRD, 2).item() == pytest.approx(mean)
    assert soft_q(q, THIRD, 1).item() == pytest.approx(2 / 3 * 1 + 1 / 3 * 3)


class Table(nn.Module):
    """Critics that like open grippers where the motion goes ahead, and know of no other."""

    def forward(self, latent, task, action):
        return (action[..., 0] * action[..., -1])[None]


def test_q_chooses_among_grippers_where_the_actor_is_unsure():
    model = Cql(small_cql(gripper='binary'))
    model.critic.heads = Table()
    seen = [torch.rand(1, 3, 16, 16) * 2 - 1] * len(model.config.cameras)
    given = (seen, torch.zeros(1, model.config.state_dim), torch.ones(1, 1))

    def chosen(bias, **how):
        with torch.no_grad():
            model.actor.gripper.weight.zero_()
            model.actor.gripper.bias.fill_(bias)
        for seed in range(8):
            best = model.best_of(*given, 16, torch.Generator().manual_seed(seed), **how)[0, 0]
            assert best.shape == (7,)
            yield best[0].sign().item(), best[-1].item()

    unsure = list(chosen(0.0))
    assert all(ahead == grip for ahead, grip in unsure)
    assert {grip for _, grip in unsure} == {-1, 1}
    # Critics that like it open are not asked where the actor would never open it.
    assert {grip for _, grip in chosen(-20.0)} == {-1}
    assert {grip for _, grip in chosen(20.0)} == {1}
    assert {grip for _, grip in chosen(-0.1, temperature=0.0)} == {-1}


def test_grippers_are_drawn_by_their_probability():
    logit = torch.tensor([1.0, -1.0, 0.0]).repeat(20000)
    for temperature in (1.0, 0.5):
        drawn = draw_grips(logit, 2, temperature, torch.Generator().manual_seed(0))
        assert drawn.shape == (2, len(logit), 1)
        assert set(drawn.unique().tolist()) == {-1, 1}
        assert torch.equal(drawn[0, :2, 0], torch.tensor([1.0, -1.0]))  # the likelier one
        share = (drawn[1, :, 0] > 0).float().view(-1, 3).mean(0)
        torch.testing.assert_close(share, (logit[:3] / temperature).sigmoid(), atol=0.01, rtol=0)


def test_it_trains_clones_and_acts(tmp_path):
    config = small_cql(gripper='binary', critic_layer_norm=True, cloning_steps=2)
    store = toy_store(12)
    learner = CqlLearner.create(config, store, 0)
    assert set(learner.actions[:, -1].unique().tolist()) <= {-1, 1}
    assert config.drawn_dim == 6
    trainer = LearnerTrainer(learner)
    for step in range(3):
        info = trainer.step(step, 1.0)
    trainer.close()
    assert all(math.isfinite(value) for value in info.values())
    train('cql', store, config, tmp_path, steps=3, progress=False)
    assert load_config(tmp_path)[1].gripper == 'binary'
    policy = load_policy(tmp_path)
    image = {'front': np.zeros((16, 16, 3), np.uint8)}
    assert policy.displacements is True
    for candidates in (1, 3):
        policy.ask_for(candidates=candidates)
        assert policy.act(image, np.zeros(3))[0, -1] in (0, 1)
    with pytest.raises(UserError, match='"gripper" must be one of continuous, binary'):
        small_cql(gripper='soft')
    with pytest.raises(UserError, match='something has to move'):
        small_cql(gripper='binary', action_dim=1)
