# SPDX-License-Identifier: Apache-2.0
"""Was a rule broken while a fault lasted? Judges what was seen of the arm, knowing no ROS.

The rules: no joint beyond its position or velocity limit, the tip in the workspace, no motion on
data older than the safety gate allows. Times are seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vvf.safety import MaxAges, RobotLimits
from vvf_sim.robots.arm import arm_model

Array = npt.NDArray[np.float64]

#: What an arm overshoots while it obeys: rad, and m of the tip.
JOINT_TOLERANCE = 0.02
TIP_TOLERANCE = 0.02
#: A reading shows the arm as of the tick before, and ticks jitter.
TICKS_S = 0.06
#: A joint that is faster moves; what trembles is slower. rad/s over `WINDOW_S`.
MOVING_SPEED = 0.06
WINDOW_S = 0.1
#: From the moment that data are too old until the arm stands: a control tick, braking, its lag.
BRAKE_S = 0.4
_SPANS_S = (0.0, 0.1, 0.5)
_GAP_S = 0.2  # between measurements: ten ticks


@dataclass(frozen=True)
class Heard:
    """What the arm was given of one stream: arrival and stamp of each good message, (n,) s."""

    arrived: Array
    stamped: Array


@dataclass(frozen=True)
class Trace:
    """The arm while a fault came and went.

    Attributes:
        times: (n,) s, of the measurements.
        joints: (n, m + 1) rad, then the finger in m.
        heard: good messages by stream: `action`, `value`, `recorder`.
    """

    times: Array
    joints: Array
    heard: Mapping[str, Heard]


def limit_violations(trace: Trace, limits: RobotLimits) -> list[str]:
    """Positions, velocities and tips that are beyond what is allowed, one sentence each."""
    if not len(trace.times):
        return ['no joint state was seen']
    q = trace.joints[:, :-1]  # a finger that squeezes is driven into its stop, as it should be
    if not np.isfinite(trace.joints).all():
        return ['a measured joint is no number']
    found = []
    beyond = np.maximum(limits.lower - q, q - limits.upper)
    joint = int(beyond.max(0).argmax())
    if beyond.max() > JOINT_TOLERANCE:
        found.append(f'{limits.joint_names[joint]} was {beyond.max():.3f} rad beyond its limit')
    return found + _too_fast(trace.times, q, limits) + _outside(q, limits)


def _too_fast(times: Array, q: Array, limits: RobotLimits) -> list[str]:
    """Over one tick, a tenth and half a second: a leap is short, a race is long."""
    found = []
    for span in _SPANS_S:
        later = np.maximum(np.searchsorted(times, times + span), np.arange(len(times)) + 1)
        first = np.flatnonzero(later < len(times))
        if not first.size:
            continue
        later = later[first]
        allowed = limits.velocity * (times[later] - times[first] + TICKS_S)[:, None]
        excess = np.abs(q[later] - q[first]) / allowed
        if excess.max() > 1.0:
            at, joint = np.unravel_index(int(excess.argmax()), excess.shape)
            lasted = times[later[at]] - times[first[at]]
            moved = abs(q[later[at], joint] - q[first[at], joint])
            found.append(f'{limits.joint_names[joint]} moved {moved:.2f} rad in {lasted:.2f} s')
    return found


def _outside(q: Array, limits: RobotLimits) -> list[str]:
    kinematics = arm_model(limits.name).kinematics()
    tips = np.array([kinematics.forward(posture)[:3, 3] for posture in q])
    low, high = limits.workspace_lower, limits.workspace_upper
    # Where it begins is the robot's home, whatever the box says.
    out = np.maximum(low - tips, tips - high).max(1)
    worst = int(out.argmax())
    if out[worst] <= max(TIP_TOLERANCE, out[0] + TIP_TOLERANCE):
        return []
    return [f'the tip was {out[worst]:.3f} m outside the workspace, at {tips[worst].round(3)}']


def motion(trace: Trace) -> Array:
    """When the arm moved: the middles (k,) in s of all windows in which a joint did."""
    times, q = trace.times, trace.joints[:, :-1]
    later = np.searchsorted(times, times + WINDOW_S)
    first = np.flatnonzero(later < len(times))
    later = later[first]
    lasted = times[later] - times[first]
    speed = np.abs(q[later] - q[first]).max(1, initial=0.0) / np.maximum(lasted, WINDOW_S)
    # Across a gap in the measurements nobody knows when it moved; and a simulation that stood still
    # with its node ends afterwards what it had under way.
    gaps = times[1:][np.diff(times) > _GAP_S]
    before = np.searchsorted(gaps, times[first], side='right')
    since = times[first] - np.concatenate([[-np.inf], gaps])[before]
    known = (speed > MOVING_SPEED) & (lasted < WINDOW_S + _GAP_S) & (since > BRAKE_S)
    return np.asarray((times[first] + times[later])[known] / 2)


def stale_motion(trace: Trace, ages: MaxAges) -> list[str]:
    """Motion although the newest good data were too old, one sentence for each stream."""
    moved = motion(trace)
    found = []
    for what, stream, stamps, max_age in (
        ('actions', 'action', False, ages.action),
        ('images behind the actions', 'action', True, ages.image),
        ('values', 'value', True, ages.value),
        ('signs of the recorder', 'recorder', False, ages.recorder),
    ):
        if max_age is None or not moved.size:
            continue
        age = _age(trace.heard[stream], moved, stamps=stamps)
        if age.max() > max_age + BRAKE_S:
            found.append(
                f'the arm moved on {what} {age.max():.2f} s old, {max_age:g} s are allowed'
            )
    return found


def _age(heard: Heard, at: Array, *, stamps: bool) -> Array:
    """Age (k,) in s of the newest datum at times (k,) in s."""
    order = np.argsort(heard.arrived)
    arrived = heard.arrived[order]
    newest = np.maximum.accumulate(heard.stamped[order] if stamps else arrived)
    newest = np.concatenate([[-np.inf], newest])
    return np.asarray(at - newest[np.searchsorted(arrived, at, side='right')])


def time_to_hold(trace: Trace, begin: float, end: float) -> float:
    """Seconds from the fault until the arm moved for the last time before the fault was over."""
    moved = motion(trace)
    during = moved[(moved >= begin) & (moved <= end)]
    return float(during.max() - begin) if during.size else 0.0


def travel(trace: Trace, begin: float, end: float) -> float:
    """How far any joint went between two times, rad."""
    part = trace.joints[(trace.times >= begin) & (trace.times <= end), :-1]
    return float(np.ptp(part, axis=0).max()) if len(part) else 0.0


def moves_again(measured: Sequence[tuple[float, Array]], since: float) -> bool:
    """Whether a joint has gone a noticeable way in the last half second, and after some time."""
    first = max(since, measured[-1][0] - 0.5)
    recent = [joints[:-1] for time, joints in measured if time >= first]
    return len(recent) > 5 and float(np.ptp(recent, axis=0).max()) > 0.03
