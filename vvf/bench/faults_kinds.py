# SPDX-License-Identifier: Apache-2.0
"""The faults that `vvf bench faults` injects, and what has to happen after each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice

import numpy as np


class Reaction(Enum):
    """What the arm has to do.

    Limits and the ages of its data hold whatever it does; they are no reaction.
    """

    HOLDS = 'holds'
    BOUNDED = 'stays within limits'
    GOES_ON = 'goes on'
    ENDS = 'the graph ends'


class Recovery(Enum):
    """When the arm follows the policy again, after the fault is over."""

    SAME_EPISODE = 'in the same episode'
    NEXT_EPISODE = 'in the next episode'
    NEXT_GRAPH = 'after a new start'


@dataclass(frozen=True)
class Kind:
    """One sort of fault.

    Attributes:
        group: what is wrong, such as drop or freeze.
        target: a stream of `vvf.bench.faults_relay`, or a node.
        change: what the relay does to the stream, or what is done to the node.
        reaction: what the arm has to do.
        watched: whose age makes it hold: `action`, `value`, `recorder`; or `estop`, `disk`.
        recovery: when it follows the policy again.
    """

    group: str
    target: str
    change: str
    reaction: Reaction = Reaction.HOLDS
    watched: str = 'action'
    recovery: Recovery = Recovery.SAME_EPISODE

    @property
    def name(self) -> str:
        """For tables and files."""
        return f'{self.group}: {self.target} {self.change}'


@dataclass(frozen=True)
class Fault:
    """One fault of a campaign.

    Attributes:
        index: its place in the campaign.
        kind: what is wrong.
        after_s: seconds of healthy motion before it.
        lasts_s: how long, where that is ours to say.
        seed: of what is random about it.
    """

    index: int
    kind: Kind
    after_s: float
    lasts_s: float
    seed: int


def _kinds() -> Iterator[Kind]:
    bounded, goes_on = Reaction.BOUNDED, Reaction.GOES_ON
    observed = ('shoulder', 'wrist', 'joint_states', 'ee_pose')
    watches = {'value': 'value', 'heartbeat': 'recorder', 'episode': 'recorder'}
    for stream in (*observed, 'action', 'value', 'heartbeat'):
        yield Kind('drop', stream, 'lost', watched=watches.get(stream, 'action'))
    for stream in (*observed, 'action', 'value'):
        yield Kind('delay', stream, 'late', watched=watches.get(stream, 'action'))
    for node in ('camera_shoulder', 'camera_wrist', 'value', 'policy', 'episode'):
        yield Kind('freeze', node, 'SIGSTOP', watched=watches.get(node, 'action'))
    yield Kind('freeze', 'arm', 'SIGSTOP', bounded)
    for stream, change in (
        ('action', 'NaN'),
        ('action', 'infinite'),
        ('value', 'NaN'),
        ('joint_states', 'NaN'),
        ('ee_pose', 'NaN'),
    ):
        yield Kind('NaN', stream, change, watched=watches.get(stream, 'action'))
    for change in ('10 m', '100 rad', 'into the table', 'to a joint limit', 'back and forth'):
        # Where such actions lead, a policy that never saw it may not find back by itself.
        yield Kind('jump', 'action', change, bounded, recovery=Recovery.NEXT_EPISODE)
    yield Kind('jump', 'joint_states', '3 rad off', bounded)
    yield Kind('jump', 'human', '10 m', bounded, recovery=Recovery.NEXT_EPISODE)
    for change in ('5 wide', '8 wide', 'too short', 'no steps', 'joint positions', 'dt 0'):
        yield Kind('shape', 'action', change)
    yield Kind('shape', 'shoulder', 'cut off')
    yield Kind('shape', 'wrist', 'odd encoding')
    yield Kind('shape', 'joint_states', 'a joint missing')
    yield Kind('shape', 'joint_states', 'another order', goes_on)
    for node in ('camera_shoulder', 'camera_wrist', 'value', 'policy'):
        yield Kind('kill', node, 'SIGKILL', watched=watches.get(node, 'action'))
        yield Kind('restart', node, 'SIGTERM', watched=watches.get(node, 'action'))
    for group, change in (('kill', 'SIGKILL'), ('restart', 'SIGTERM')):
        yield Kind(group, 'episode', change, watched='recorder', recovery=Recovery.NEXT_EPISODE)
        yield Kind(group, 'plot', change, goes_on)
    yield Kind('kill', 'arm', 'SIGKILL', Reaction.ENDS, recovery=Recovery.NEXT_GRAPH)
    for stream in ('action', 'value', 'shoulder', 'joint_states'):
        for change in ('from the future', 'from the past'):
            yield Kind('clock', stream, change, watched=watches.get(stream, 'action'))
    yield Kind('clock', 'action', 'stamped zero')
    for change in ('service', 'button'):
        yield Kind('e-stop', 'arm', change, watched='estop')
    yield Kind('drop', 'human', 'took over and does nothing', watched='estop')
    yield Kind('disk', 'episode', 'full', watched='disk', recovery=Recovery.NEXT_EPISODE)
    yield Kind('flood', 'action', '50 times', bounded)
    yield Kind('flood', 'action', '50 times NaN')
    yield Kind('flood', 'human', '500 Hz', bounded)
    yield Kind('flood', 'joint_states', '20 times', goes_on)
    yield Kind('order', 'action', 'old ones again', bounded)


KINDS = tuple(_kinds())


def plan(count: int, seed: int) -> list[Fault]:
    """The first faults of a campaign; of a seed they are always the same.

    Each kind comes once, in random order, before any comes again.
    """
    return list(islice(_faults(seed), count))


def _faults(seed: int) -> Iterator[Fault]:
    rng = np.random.default_rng(seed)
    index = 0
    while True:
        for which in rng.permutation(len(KINDS)):
            after, lasts = rng.uniform(0.0, 0.8), rng.uniform(1.4, 2.0)
            own = int(rng.integers(2**31))
            yield Fault(index, KINDS[which], round(after, 3), round(lasts, 3), own)
            index += 1
