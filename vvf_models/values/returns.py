# SPDX-License-Identifier: Apache-2.0
"""What an episode's label says about each of its frames, for the models that learn from failures.

RECAP (arXiv 2511.14759, section IV-A) with the numbers of Evo-RL (MINT-SJTU/Evo-RL); ReWiND for
instructions that do not fit.
"""

import re

import numpy as np
from numpy.typing import NDArray

# "put the carrot into the bowl": what is to be moved. Other sentences name no target that we know.
_TARGET = re.compile(
    r'\s*(?:please )?(?:pick up|put|place|move|bring|drop|lay|set|take) (?:the |a |an )?(.+?) '
    r'(?:and|in|into|inside|on|onto|to|from|off|out)\b',
    re.IGNORECASE,
)


def steps_left(length: int, success_index: int = -1) -> NDArray[np.int64]:
    """Steps from each frame of an episode to its success, from which on there are none, or its end.

    Args:
        length: Frames.
        success_index: First frame in which the task is done; -1 for a failure, and where nobody
            knows, so that the last frame is meant.
    """
    end = success_index if success_index >= 0 else length - 1
    return np.maximum(end - np.arange(length), 0)


def normalised_return(
    left: NDArray[np.int64],
    failed: NDArray[np.bool_] | bool,
    longest: NDArray[np.int64] | int,
    c_fail_coef: float = 1.0,
) -> NDArray[np.float32]:
    """The targets of some frames.

    Args:
        left: (B,) steps left.
        failed: (B,) whether a failure comes at the end of them.
        longest: (B,) frames of the task's longest episode; a return below -1, of an episode that is
            longer, is cut off.
        c_fail_coef: What a failure costs, in longest episodes.

    Returns:
        (B,) in [-1, 0].
    """
    cost = np.multiply(c_fail_coef, longest)
    returns = -(left + np.where(failed, cost, 0.0)) / (longest + cost)
    return np.asarray(np.clip(returns, -1.0, 0.0), np.float32)


def target_of(instruction: str) -> str:
    """What an instruction such as "put the carrot into the bowl" wants moved; '' if unknown."""
    found = _TARGET.match(instruction)
    return found[1].casefold() if found else ''


def is_known_wrong(instruction: str, other: str) -> bool:
    """Whether doing what one instruction says cannot be what the other says.

    Only so where both name what they want moved, and these differ: of any other two sentences, one
    may be the other in different words.
    """
    target, others = target_of(instruction), target_of(other)
    return bool(target and others and target != others)
