# SPDX-License-Identifier: Apache-2.0
"""What CQL's actor does: a squeezed Gaussian, of all of an action or of all but its gripper.

PTR and V-PTR draw the gripper from the Gaussian, like the motion. Recorded grippers are shut or
open, -1 or 1 and nothing between, so Q has a valley there that the mean of a Gaussian does not
cross. With a binary gripper, the actor gives the probability of an open one instead, and whatever
PTR's objective estimates by draws is, as to the gripper, a sum over both, as in discrete SAC
(Christodoulou, arXiv 1910.07207, sec. 3). That is neither PTR's nor V-PTR's.

Shapes: G is 2 where the gripper is binary (-1, 1), else 1; D is the length of what is drawn: the
motion alone, or the whole action.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.distributions import Distribution

GRIPPERS = ('continuous', 'binary')

_LEAST_CHANCE = 1e-6


@dataclass(frozen=True)
class ActionDistribution:
    """Of scaled actions, one for each of B observations.

    Attributes:
        drawn: Of what is drawn, (B, D).
        grip_log_prob: (G, B) log probabilities of a gripper that is shut and of an open one; zeros
            (1, B) where the gripper is drawn, too.
    """

    drawn: Distribution
    grip_log_prob: Tensor

    def log_prob(self, action: Tensor) -> Tensor:
        """Log densities (..., B) of whole actions (..., B, A); binary grippers are -1 or 1."""
        if len(self.grip_log_prob) == 1:
            of_all: Tensor = self.drawn.log_prob(action)
            return of_all
        shut, open_ = self.grip_log_prob
        of_motion: Tensor = self.drawn.log_prob(action[..., :-1])
        return of_motion + torch.where(action[..., -1] < 0, shut, open_)


def grip_log_prob(open_logit: Tensor) -> Tensor:
    """Log probabilities (2, B) of a gripper that is shut and of an open one, of (B,) log odds."""
    return F.logsigmoid(torch.stack([-open_logit, open_logit]))


def with_grips(drawn: Tensor, *, binary: bool) -> Tensor:
    """Whole actions (G, ..., A) of what is drawn (..., D)."""
    if not binary:
        return drawn[None]
    grip = torch.ones_like(drawn[..., :1])
    return torch.stack([torch.cat([drawn, sign * grip], -1) for sign in (-1, 1)])


def draw_grips(logit: Tensor, count: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Grippers (count, B, 1) of -1 or 1, drawn by logits (B,) of an open one; the first likelier.

    A temperature below 1 draws the likelier one more often, 0 nothing else.
    """
    chance = torch.rand((count, len(logit)), generator=generator).to(logit)
    chance[0] = 0.5
    is_open = temperature * chance.logit(eps=_LEAST_CHANCE) < logit
    return torch.where(is_open, 1.0, -1.0)[..., None]


def shut_or_open(action: Tensor) -> Tensor:
    """Actions (..., A) with grippers of -1 or 1, the nearer one."""
    sign = torch.where(action[..., -1:] < 0, -1.0, 1.0)
    return torch.cat([action[..., :-1], sign], -1)


def expected_q(q: Tensor, grip_log_prob: Tensor) -> Tensor:
    """The mean (..., K, B) over grippers of Q (..., G, K, B), given (G, B)."""
    return (grip_log_prob.exp()[:, None] * q).sum(-3)


def soft_q(q: Tensor, grip_log_prob: Tensor, version: int) -> Tensor:
    """Q (E, G, K, B) without G, so that the conservative term of it is exact over grippers.

    Of `version` 3 the log of the sum of exp(Q), which is what importance weights make of grippers
    drawn from any distribution; of 2 the log of the mean of exp(Q); of 1 the mean of Q.
    """
    if version == 1:
        return expected_q(q, grip_log_prob)
    if version == 2:
        q = q + grip_log_prob[:, None]
    return q.logsumexp(-3)
