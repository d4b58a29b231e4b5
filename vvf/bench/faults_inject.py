# SPDX-License-Identifier: Apache-2.0
"""How each fault is done to a running graph, and undone."""

from __future__ import annotations

import signal
import time

import numpy as np

from vvf.bench.faults_kinds import Fault, Kind, Reaction, Recovery
from vvf.bench.faults_rig import Rig

#: The recorder writes once a second, and tells of it five times a second.
DISK_S = 1.2
_BEGUN_BYTES = 100_000
_GAP_S = 0.25  # what a killed node had under way arrives within that
_RESTART_S = 40.0  # a node that was killed loads its model again
_SIGNALS = {'SIGKILL': signal.SIGKILL, 'SIGTERM': signal.SIGTERM}


def inject(rig: Rig, fault: Fault) -> float:
    """Do it, and undo it where that is ours; returns when it was over, s of the steady clock."""
    kind = fault.kind
    if kind.target == 'human':
        _take_over(rig, fault)
    elif kind.group in ('kill', 'restart'):
        return _end_node(rig, kind)
    elif kind.group == 'freeze':
        rig.send_signal(kind.target, signal.SIGSTOP)
        try:
            rig.pause(fault.lasts_s)
        finally:
            rig.send_signal(kind.target, signal.SIGCONT)
    elif kind.group == 'e-stop':
        rig.stop_arm(kind.change, True)
        rig.pause(fault.lasts_s)
        rig.stop_arm(kind.change, False)
    elif kind.group == 'disk':
        (bag,) = (rig.bags / rig.relay.episode).glob('*.mcap')
        # The bag has something to lose.
        rig.wait(lambda: bag.stat().st_size > _BEGUN_BYTES, 'the first chunk of a bag')
        rig.limit_files(kind.target, bag.stat().st_size)
        try:
            rig.pause(DISK_S + fault.lasts_s)
        finally:
            rig.limit_files(kind.target, None)
    else:
        rig.relay.spoil(kind.target, kind.change, fault.seed)
        rig.pause(fault.lasts_s)
        rig.relay.mend()
    return time.monotonic()


def _take_over(rig: Rig, fault: Fault) -> None:
    """A human's hand is far away, is read much too often, or lets go."""
    rng = np.random.default_rng(fault.seed)
    far = fault.kind.group == 'jump'
    until = time.monotonic() + fault.lasts_s
    rig.take_over(True)
    if fault.kind.group == 'drop':
        rig.pause(fault.lasts_s)
    while time.monotonic() < until:
        step = np.append(rng.choice([-1.0, 1.0], 3) * (10.0 if far else 0.002), np.zeros(3))
        rig.send_human_action(step.tolist())
        time.sleep(0.1 if far else 0.002)
    rig.take_over(False)


def _end_node(rig: Rig, kind: Kind) -> float:
    """Kill a node, and wait for what its successor gives."""
    stream = {'recorder': 'heartbeat'}.get(kind.watched, kind.watched)
    killed = time.monotonic()
    rig.send_signal(kind.target, _SIGNALS[kind.change])
    if kind.target == 'plot':
        rig.pause(1.5)
        return time.monotonic()
    if kind.reaction is Reaction.ENDS:
        rig.wait(lambda: False, 'the end of the graph', 10.0)
    if kind.recovery is Recovery.NEXT_EPISODE:
        rig.wait(lambda: not rig.relay.episode, 'a new episode node', _RESTART_S)
        return time.monotonic()

    def next_one() -> float:
        arrived = rig.relay.streams[stream].arrived
        return next((t for t in arrived if t > killed + _GAP_S), 0.0)

    rig.wait(next_one, f'a new {kind.target}', _RESTART_S)
    return next_one()
