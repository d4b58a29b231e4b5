# SPDX-License-Identifier: Apache-2.0
"""The losses of conservative Q-learning, on numbers alone; cql.py begins with their formulas."""

import math

import torch
from torch import Tensor


def backup_target(
    reward: Tensor, mask: Tensor, next_q: Tensor, discount: float, *, max_backup: bool = True
) -> Tensor:
    """The y of (B,) rewards and masks, and delayed Q (E, K, B) of K actions at the next state."""
    smaller = next_q.amin(0)
    best = smaller.amax(0) if max_backup else smaller.mean(0)
    return reward + discount * mask * best


def conservative_loss(
    data_q: Tensor,
    policy_q: Tensor,
    policy_log_prob: Tensor,
    random_q: Tensor,
    action_dim: int,
    version: int = 3,
) -> tuple[Tensor, dict[str, Tensor]]:
    """How far Q of any action lies above Q of the data's.

    Args:
        data_q: (E, B), of the data's actions.
        policy_q: (E, K, B), of actions of the policy.
        policy_log_prob: (K, B), their log densities.
        random_q: (E, R, B), of actions uniform in [-1, 1]^d.
        action_dim: d.
        version: 3 with importance weights, 2 without, 1 the mean of the policy's alone.

    Returns:
        The mean over batch and critics, and it, and the means of the three Q, for logging.
    """
    if version == 1:
        above = policy_q.mean(1)
    elif version == 2:
        above = torch.cat([policy_q, random_q], 1).logsumexp(1)
    else:
        random_log_prob = action_dim * math.log(0.5)
        weighed = [policy_q - policy_log_prob, random_q - random_log_prob]
        above = torch.cat(weighed, 1).logsumexp(1)
    loss = (above - data_q).mean()
    return loss, {
        'conservative': loss.detach(),
        'q_data': data_q.detach().mean(),
        'q_policy': policy_q.detach().mean(),
        'q_random': random_q.detach().mean(),
    }


def critic_loss(
    data_q: Tensor, target: Tensor, conservative: Tensor, alpha: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Bellman error of (E, B) against (B,), mean over both, and alpha times the other term."""
    bellman = (data_q - target).square().mean()
    loss = bellman + alpha * conservative
    return loss, {
        'critic_loss': loss.detach(),
        'bellman_error': bellman.detach(),
        'q_target': target.mean(),
    }


def actor_loss(
    q: Tensor, log_prob: Tensor, grip_log_prob: Tensor, temperature: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Entropy-regularised improvement, exact over grippers.

    Args:
        q: (E, G, B), of what the policy drew with each gripper.
        log_prob: (B,), log densities of what it drew.
        grip_log_prob: (G, B), log probabilities of the grippers.
        temperature: Weight of the entropy, that of the gripper, too.
    """
    each = temperature * (log_prob + grip_log_prob) - q.amin(0)
    loss = (grip_log_prob.exp() * each).sum(0).mean()
    return loss, {'actor_loss': loss.detach(), 'entropy': -log_prob.detach().mean()}


def cloning_loss(data_log_prob: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Instead of `actor_loss`, of (B,) log densities of the data's actions.

    There is no term of entropy, which would make the policy wider than the data: a Gaussian that
    clones a deviation s with temperature T comes to s / sqrt(1 - T).
    """
    loss = -data_log_prob.mean()
    return loss, {'actor_loss': loss.detach()}


def temperature_loss(
    temperature: Tensor, entropy: Tensor, target_entropy: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Falls where the entropy, taken as given, is above its target."""
    loss = temperature * (entropy.detach() - target_entropy)
    return loss, {'temperature': temperature.detach()}
