# SPDX-License-Identifier: Apache-2.0
"""Trajectories for a Franka hold its limits whatever is commanded, whenever it arrives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vendors.franka_follower import Follower, Guard
from vvf.drivers.franka_limits import JERK, speed_caps
from vvf.drivers.franka_stream import STEP_S, Streamer, Trajectory
from vvf.safety_limits import load_limits

TICK = 0.001


def times(trajectory: Trajectory) -> np.ndarray:
    return (trajectory.first + np.arange(len(trajectory.position))) * STEP_S


def points(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return trajectory.position, trajectory.velocity, trajectory.acceleration


def play(streamer, robot, commands, *, start, ticks, ways, until):
    """Send a trajectory for each command, and sample what the controller makes of them.

    Args:
        ticks: when each command is made, s.
        ways: how long each trajectory is under way, s; it counts for the first.
    """
    streamer.reset(start, ticks[0])
    follower = Follower(start)
    # What the robot may not be asked for, with the jerk that the streamer states.
    jerk = 2 * robot.acceleration / STEP_S
    assert (jerk < JERK[robot.name]).all()
    guard = Guard(robot.lower, robot.upper, (robot.velocity, robot.acceleration, jerk))
    caps = speed_caps(robot, robot.velocity)
    queue = [
        (tick + way, streamer.update(command, tick))
        for command, tick, way in zip(commands, ticks, ways, strict=True)
    ]
    sampled = []
    for now in np.arange(ticks[0], until, TICK):
        while queue and queue[0][0] <= now:
            refused = follower.take(times(queue[0][1]), points(queue[0][1]), now, start + 9)
            assert refused == ''
            queue.pop(0)
        position, velocity, _ = follower.at(now)
        sampled.append(position)
        assert guard.check(position, TICK) == [], now
        assert (velocity <= caps.towards_upper(position) + 0.02).all()
        assert (velocity >= caps.towards_lower(position) - 0.02).all()
    return np.array(sampled)


def steps(robot, rng, count):
    """Commands anywhere within the joints' limits, each held for a while."""
    anywhere = rng.uniform(robot.lower, robot.upper, (count, 7))
    return np.repeat(anywhere, 15, axis=0)


def waves(robot, ticks, share=1.0):
    """Commands that are within velocity and acceleration, up to a share of them."""
    pace = np.linspace(1.5, 4.0, 7)
    reach = share * np.minimum(robot.velocity / pace, robot.acceleration / pace**2)
    reach = np.minimum(reach, np.minimum(robot.upper - robot.sleep, robot.sleep - robot.lower))
    return robot.sleep + reach * np.sin(pace * (ticks[:, None] - ticks[0]))


@pytest.mark.parametrize('name', ['fr3', 'fer'])
@pytest.mark.parametrize('kind', ['steps', 'waves'])
def test_no_command_at_no_time_breaks_a_limit(name: str, kind: str) -> None:
    robot, rng = load_limits(name), np.random.default_rng(0)
    ticks = 100 + np.cumsum(rng.uniform(0.014, 0.026, 90))
    ticks[30:] += 0.35  # a stall
    ticks[60:] += 0.06
    ways = rng.uniform(0.0, 0.009, 90)
    commands = steps(robot, rng, 6) if kind == 'steps' else waves(robot, ticks)
    until = ticks[-1] + 0.7
    sampled = play(
        Streamer(robot), robot, commands, start=robot.sleep, ticks=ticks, ways=ways, until=until
    )
    still = np.ptp(sampled[-50:], axis=0).max()
    assert still == 0.0  # the stream ended, and so did the motion


def test_follows_what_is_commanded_a_lead_later() -> None:
    robot = load_limits('fr3')
    ticks = 100 + 0.02 * np.arange(150)
    commands = waves(robot, ticks, 0.5)
    sampled = play(
        Streamer(robot),
        robot,
        commands,
        start=commands[0],
        ticks=ticks,
        ways=np.full(150, 0.004),
        until=ticks[-1],
    )
    when = ticks[0] + TICK * np.arange(len(sampled)) - 0.04 - STEP_S / 2
    wanted = np.array([np.interp(when, ticks, q) for q in commands.T]).T
    assert np.abs(sampled - wanted)[1000:].max() < 0.001  # it has caught up with the first leap


def test_a_slow_node_still_gets_the_arm_there() -> None:
    robot = load_limits('fr3')
    ticks = 100 + 0.07 * np.arange(15)  # commands that come later than the lead
    goal = robot.sleep + 0.3
    sampled = play(
        Streamer(robot),
        robot,
        np.tile(goal, (15, 1)),
        start=robot.sleep,
        ticks=ticks,
        ways=np.full(15, 0.004),
        until=ticks[-1],
    )
    assert np.abs(sampled[-1] - goal).max() < 0.002


def test_consecutive_trajectories_agree_until_the_newer_one_may_have_arrived() -> None:
    robot, rng = load_limits('fr3'), np.random.default_rng(2)
    streamer = Streamer(robot)
    streamer.reset(robot.sleep, 50.0)
    last = None
    for k, command in enumerate(steps(robot, rng, 8)):
        now = 50.0 + 0.02 * k + (0.3 if k > 50 else 0.0)
        made = streamer.update(command, now)
        if last is not None:
            common = range(made.first, int((now + 0.01) / STEP_S) + 1)
            at = [min(i - last.first, len(last.position) - 1) for i in common]
            for new, old in zip(points(made), points(last), strict=True):
                np.testing.assert_allclose(new[: len(at)], old[at], atol=1e-9)
        last = made


def test_every_trajectory_ends_at_rest_within_the_horizon() -> None:
    robot = load_limits('fr3')
    for horizon in (0.25, 0.65):
        streamer = Streamer(robot, horizon_s=horizon)
        streamer.reset(robot.sleep, 10.0)
        longest = 0.0
        for k in range(120):
            now = 10.0 + 0.02 * k
            made = streamer.update(robot.upper, now)
            assert not made.velocity[-1].any()
            assert not made.acceleration[-1].any()
            assert times(made)[-1] <= now + horizon + 1e-9
            assert times(made)[0] <= now  # else the controller starts from the measured joints
            longest = max(longest, times(made)[-1] - now)
        assert longest > 0.15


def test_a_stop_brakes_from_what_is_under_way() -> None:
    robot = load_limits('fr3')
    streamer, follower = Streamer(robot), Follower(robot.sleep)
    streamer.reset(robot.sleep, 10.0)
    command = robot.sleep + 0.3
    for now in 10.0 + 0.02 * np.arange(12):
        made = streamer.update(command, now)
        follower.take(times(made), points(made), now, robot.sleep)
    moving = follower.at(now + 0.005)
    halt = streamer.stop(now + 0.005)
    follower.take(times(halt), points(halt), now + 0.005, robot.sleep)
    np.testing.assert_allclose(follower.at(now + 0.005)[0], moving[0], atol=1e-9)
    np.testing.assert_allclose(follower.at(now + 0.005)[1], moving[1], atol=1e-9)
    assert np.abs(moving[1]).max() > 0.5
    assert np.abs(follower.at(now + 0.5)[0] - moving[0]).max() < 0.3
    assert not follower.at(now + 0.5)[1].any()
