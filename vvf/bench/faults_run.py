# SPDX-License-Identifier: Apache-2.0
"""One fault: healthy motion, the fault, what the arm does, its recovery, and the episode's bag."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vvf.bags.reader import DecodeError, open_bag
from vvf.bench.faults_inject import DISK_S, inject
from vvf.bench.faults_judge import (
    BRAKE_S,
    Trace,
    limit_violations,
    stale_motion,
    time_to_hold,
    travel,
)
from vvf.bench.faults_kinds import Fault, Kind, Reaction, Recovery
from vvf.bench.faults_rig import GraphLostError, Rig
from vvf.errors import UserError
from vvf.paths import config_path
from vvf.safety import MaxAges, RobotLimits
from vvf.safety_limits import load_limits

#: From a stop that was asked for, or data that cannot be used, to the gate: a control tick or two.
_AT_ONCE_S = 0.1
_CHUNK_S = 1.3  # the recorder writes once a second
_AFTER_S = 0.6  # of motion that is still watched after the recovery
_RECOVER_S = 12.0
_STILL_GOING = 0.03  # rad


@dataclass(frozen=True)
class Rules:
    """What the arm is held to."""

    limits: RobotLimits
    ages: MaxAges

    def hold_within(self, watched: str) -> float:
        """Seconds from a fault until the arm has to stand."""
        image = self.ages.image or 0.0
        waits = {
            'action': max(self.ages.action or 0.0, image),
            'value': self.ages.value or 0.0,
            'recorder': self.ages.recorder or 0.0,
            'estop': _AT_ONCE_S,
            'disk': DISK_S + (self.ages.recorder or 0.0),
        }
        # The last good message may have been on its way while the fault began.
        return waits[watched] + (0.0 if watched == 'estop' else _AT_ONCE_S) + BRAKE_S


@dataclass
class Result:
    """What became of a fault; plain numbers and strings, for JSON.

    Attributes:
        index: of the fault.
        kind: its name.
        group: of the kind.
        reaction: what the arm had to do.
        bound_s: within which it had to stand; `None` where it need not.
        hold_s: until it stood; `None` where it did not have to, or the fault was over before.
        recovered_s: from the fault's end until the arm moved again; `None` where it did not in
            this episode.
        counted: what the arm's node counted meanwhile.
        messages: in the episode's bag.
        lost: of them.
        complete: whether the bag was closed by the recorder.
        violations: rules that were broken; there must be none.
    """

    index: int
    kind: str
    group: str
    reaction: str
    bound_s: float | None = None
    hold_s: float | None = None
    recovered_s: float | None = None
    counted: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    lost: int = 0
    complete: bool = True
    violations: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


def run_fault(rig: Rig, fault: Fault, rules: Rules) -> Result:
    """Inject one fault into a running graph and judge what happens.

    Raises:
        GraphLostError: the graph was not well before the fault.
    """
    kind = fault.kind
    result = Result(fault.index, kind.name, kind.group, kind.reaction.value)
    episode = rig.begin_episode()
    rig.pause(fault.after_s)
    before = rig.refusals()
    begin = time.monotonic()
    try:
        end = inject(rig, fault)
        _settle(rig, kind, end, result)
    except GraphLostError as error:
        end = time.monotonic()
        if kind.reaction is not Reaction.ENDS:
            result.violations.append(str(error))
    finally:
        rig.relay.mend()
    trace = _trace(rig, len(rules.limits.joint_names) + 1)
    _judge(trace, kind, rules, begin, end, result)
    if rig.failure is None:
        if rig.relay.episode == episode:
            rig.end_episode()
        after = rig.refusals()
        rises = {key: count - before.get(key, 0) for key, count in after.items()}
        result.counted = {key: rise for key, rise in rises.items() if rise > 0}
        if kind.reaction is Reaction.ENDS:
            result.violations.append('the graph went on')
    else:
        rig.stop()
    # A killed recorder takes the chunk of its last second along, which may be all that there is.
    short = kind.target == 'episode' and begin - rig.began < _CHUNK_S
    _read_bag(rig.bags / episode, result, may_be_empty=short)
    return result


def _settle(rig: Rig, kind: Kind, end: float, result: Result) -> None:
    """Wait until the arm moves again, where it has to in this episode."""
    if kind.recovery is not Recovery.SAME_EPISODE:
        return
    try:
        rig.wait(lambda: rig.moved(end), 'motion after the fault', _RECOVER_S)
    except GraphLostError:
        if rig.failure is not None:
            raise
        result.violations.append(f'no motion within {_RECOVER_S:g} s after the fault')
        return
    result.recovered_s = round(time.monotonic() - end, 3)
    rig.pause(_AFTER_S)


def _trace(rig: Rig, width: int) -> Trace:
    # Before its first tick the simulation was reset: where the arm was then says nothing.
    since = rig.began + _AT_ONCE_S
    measured = [(at, joints) for at, joints in list(rig.relay.measured) if at > since]
    times = np.array([at for at, _ in measured])
    joints = np.array([joints for _, joints in measured]).reshape(len(measured), width)
    return Trace(times, joints, rig.relay.heard())


def _judge(
    trace: Trace, kind: Kind, rules: Rules, begin: float, end: float, result: Result
) -> None:
    result.violations += limit_violations(trace, rules.limits)
    result.violations += stale_motion(trace, rules.ages)
    if kind.reaction is Reaction.HOLDS:
        bound = rules.hold_within(kind.watched)
        result.bound_s = round(bound, 3)
        if end - begin > bound:
            result.hold_s = round(time_to_hold(trace, begin, end), 3)
            if result.hold_s > bound:
                result.violations.append(f'it stood after {result.hold_s:.2f} s, not {bound:.2f}')
    elif kind.reaction is Reaction.GOES_ON and travel(trace, begin, end) < _STILL_GOING:
        result.violations.append('the arm stopped, though nothing it needs was missing')


def _read_bag(bag: Path, result: Result, *, may_be_empty: bool) -> None:
    """Every message, decoded: a bag of which nothing can be learnt is no bag."""
    try:
        with open_bag(bag) as reader:
            for topic, kind, _, cdr in reader.messages():
                result.messages += 1
                if topic == '/joint_states':
                    reader.deserialize(cdr, kind)
            counts, loss = reader.counts(), reader.loss
            result.complete = reader.custom_data.get('complete') == 'true'
            result.lost = loss.messages
    except (UserError, DecodeError) as error:
        result.violations.append(f'the bag cannot be read: {error}')
        return
    if not (counts['/joint_states'] or may_be_empty):
        result.violations.append('the bag holds no joint state')
    if not result.complete:
        result.counted['bag_without_an_end'] = 1
        if result.reaction == Reaction.ENDS.value:
            result.violations.append('the bag was not closed')
    shutil.rmtree(bag, ignore_errors=True)


def rules_of(robot: str = 'wx250s') -> Rules:
    """The rules of the graph as it is started: its robot's limits, the ages of its arm node."""
    parameters = yaml.safe_load(config_path('nodes', 'arm.yaml').read_text('utf-8'))
    p = parameters['/**']['ros__parameters']
    ages = MaxAges(
        action=p['max_action_age_s'],
        image=p['max_image_age_s'],
        joint_state=p['max_joint_age_s'],
        value=p['max_value_age_s'],
        recorder=p['max_recorder_age_s'],
    )
    return Rules(load_limits(robot), ages)
