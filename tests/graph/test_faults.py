# SPDX-License-Identifier: Apache-2.0
"""Faults in a running graph: the arm holds, the warning is one line, nothing recorded is lost."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.action import ActionClient
from std_srvs.srv import Trigger
from vvf_msgs.action import RunEpisode
from vvf_msgs.msg import Action

from vvf.bags.reader import open_bag
from vvf.node_spec import NodeSpec
from vvf.paths import config_path
from vvf.safety_limits import load_limits

from .conftest import Graph, Probe, only

MOVING = 0.05  # rad within two seconds: a policy at work moves several times as far
STILL = 0.01  # rad within a second: what a held, simulated arm may tremble


def wait_for_arm(probe: Probe) -> None:
    probe.wait(lambda: bool(probe.joints), 'the first joint state')
    probe.wait(lambda: probe.actions.get_subscription_count() > 0, 'the arm listens')
    probe.wait(lambda: '/arm' in probe.diagnostics, 'the first diagnostics')


def begin_episode(probe: Probe, timeout_s: float = 60.0) -> None:
    client = ActionClient(probe.node, RunEpisode, '/vvf/episode/run')
    probe.wait(lambda: bool(probe.values), 'the first value')
    probe.wait(client.server_is_ready, 'the episode node')
    future = client.send_goal_async(RunEpisode.Goal(timeout_s=timeout_s, record=True))
    probe.wait(future.done, 'the goal is taken')
    assert future.result().accepted
    probe.wait(lambda: probe.travel(0.5) > MOVING, 'the policy moves the arm')


@pytest.fixture
def arm_only(specs: list[NodeSpec], start, probe: Probe) -> Graph:
    graph = start(only(specs, 'arm', watch_value=False, watch_recorder=False))
    wait_for_arm(probe)
    return graph


def test_good_actions_move_the_arm(arm_only: Graph, probe: Probe) -> None:
    for _ in range(6):
        probe.send([0, 0, 0.03, 0, 0, 0])
        probe.spin(0.2)
    q = np.array([p for _, p in probe.joints])
    assert np.ptp(q, axis=0).max() > MOVING


def test_a_nan_action_is_refused_in_one_line(arm_only: Graph, probe: Probe) -> None:
    probe.travel(1.0)
    probe.joints.clear()
    for _ in range(20):
        probe.send([float('nan'), 0, 0, 0, 0, 0])
        probe.spin(0.05)
    probe.spin(1.0)
    assert probe.travelled() < STILL, 'neither while they come nor afterwards'
    probe.wait(lambda: probe.refused('non_finite') == 20, 'every refusal is counted')
    assert len(arm_only.lines_with('non_finite')) == 1


def test_a_command_beyond_the_limits_is_held_back(arm_only: Graph, probe: Probe) -> None:
    limits = load_limits('wx250s')
    probe.joints.clear()
    for _ in range(20):
        probe.send([50.0, -50.0, 50.0, 9.0, 9.0, 9.0])
        probe.spin(0.1)
    times = np.array([t for t, _ in probe.joints])
    q = np.array([p for _, p in probe.joints])
    assert (q[:, :6] >= limits.lower - 0.02).all()
    assert (q[:, :6] <= limits.upper + 0.02).all()
    # Over half a second: a reading shows the world as of the tick before, and ticks jitter.
    far = np.searchsorted(times, times + 0.5)
    inside = far < len(times)
    speed = np.abs(q[far[inside], :6] - q[inside, :6]).max(1) / (times[far[inside]] - times[inside])
    assert speed.max() < limits.velocity.max() * 1.3
    assert len(arm_only.lines_with('beyond its limits')) == 1


def test_joint_commands_beyond_the_joint_limits_are_clamped(
    specs: list[NodeSpec], start, probe: Probe, tmp_path: Path
) -> None:
    # Without bounds of the task's own, so that nothing but the gate is in the way.
    data = yaml.safe_load(config_path('tasks', 'pick_place.yaml').read_text())
    data['action'] |= {'kind': 'joint_position'}
    del data['action']['low'], data['action']['high']
    task = tmp_path / 'joints.yaml'
    task.write_text(yaml.safe_dump(data))
    start(only(specs, 'arm', watch_value=False, watch_recorder=False, task=str(task)))
    wait_for_arm(probe)
    limits = load_limits('wx250s')
    probe.joints.clear()
    # A full turn of the wrist: the gripper would be where it is, the joint far beyond its limit.
    around = [0.0, -0.6, 0.7, 0.0, 1.4, 2 * np.pi]
    for _ in range(20):
        probe.send(around, kind=Action.KIND_JOINT_POSITION)
        probe.spin(0.1)
    q = np.array([p for _, p in probe.joints])[:, :6]
    assert np.ptp(q[:, 5]) > 1.0, 'it goes as far as it may'
    assert (q <= limits.upper + 0.02).all()
    probe.wait(lambda: probe.refused('joint_limit') > 0, 'the clamp is counted')


def test_a_dry_run_judges_actions_and_does_not_move(
    specs: list[NodeSpec], start, probe: Probe
) -> None:
    start(only(specs, 'arm', watch_value=False, watch_recorder=False, dry_run=True))
    wait_for_arm(probe)
    probe.joints.clear()
    for _ in range(6):
        probe.send([0, 0, 0.03, 0, 0, 0])
        probe.spin(0.2)
    assert probe.travelled() < STILL
    probe.send([float('nan'), 0, 0, 0, 0, 0])
    probe.wait(lambda: probe.refused('non_finite') == 1, 'judged all the same')


@pytest.mark.parametrize('dim', [5, 7])
def test_an_action_of_another_shape_is_refused(arm_only: Graph, probe: Probe, dim: int) -> None:
    probe.send(np.ones(dim) * 0.03, dim=dim)
    assert probe.travel(1.0) < STILL
    probe.wait(lambda: probe.refused('wrong_shape') == 1, 'the refusal is counted')


def test_an_action_of_another_kind_is_refused(arm_only: Graph, probe: Probe) -> None:
    probe.send(np.ones(6), kind=Action.KIND_JOINT_POSITION)
    assert probe.travel(1.0) < STILL
    probe.wait(lambda: probe.refused('wrong_kind') == 1, 'the refusal is counted')


def test_emergency_stop_holds_until_reset(arm_only: Graph, probe: Probe) -> None:
    def call(name: str) -> None:
        client = probe.node.create_client(Trigger, name)
        probe.wait(client.service_is_ready, name)
        future = client.call_async(Trigger.Request())
        probe.wait(future.done, name)
        assert future.result().success

    call('/vvf/estop')
    probe.joints.clear()
    for _ in range(5):
        probe.send([0, 0, 0.03, 0, 0, 0])
        probe.spin(0.1)
    assert probe.travelled() < STILL
    call('/vvf/estop_reset')
    probe.joints.clear()
    for _ in range(6):
        probe.send([0, 0, 0.03, 0, 0, 0])
        probe.spin(0.2)
    assert np.ptp(np.array([p for _, p in probe.joints]), axis=0).max() > MOVING


def test_images_that_stop_make_the_arm_hold(specs: list[NodeSpec], start, probe: Probe) -> None:
    # The shoulder camera goes through a camera node, as on a robot, so that it can fall silent.
    graph_specs = [
        replace(s, remappings=(('/shoulder/image_raw', '/driver/image_raw'),))
        if s.name == 'arm'
        else s
        for s in only(specs, 'arm', 'value', 'policy', 'episode')
    ]
    camera = NodeSpec(
        'camera',
        'shoulder_camera',
        parameters={
            'camera': 'shoulder',
            'source': 'topic',
            'topic': '/driver/image_raw',
            'freeze_s': 0.0,  # a simulated camera has no noise: nothing moves, nothing changes
        },
    )
    graph = start([*graph_specs, camera])
    begin_episode(probe)
    pid = graph.supervisor.pid('shoulder_camera')
    os.kill(pid, signal.SIGSTOP)
    try:
        probe.spin(1.5)
        assert probe.travel(1.0) < STILL
        warnings = graph.lines_with('[WARN]', 'the arm holds')
        assert len(warnings) == 1, warnings
    finally:
        os.kill(pid, signal.SIGCONT)
    probe.wait(lambda: probe.travel(0.5) > MOVING, 'the arm moves on when images are back')


def test_a_killed_value_node_makes_the_arm_hold_and_comes_back(
    specs: list[NodeSpec], start, probe: Probe
) -> None:
    graph = start(only(specs, 'arm', 'value', 'policy', 'episode'))
    begin_episode(probe)
    # Silent first: one that is killed at once may be up again before its silence is noticed.
    pid = graph.supervisor.pid('value')
    os.kill(pid, signal.SIGSTOP)
    probe.wait(lambda: bool(graph.lines_with('no new value', 'the arm holds')), 'the warning')
    os.kill(pid, signal.SIGKILL)
    probe.wait(lambda: graph.supervisor.restarts('value') > 0, 'a new value node')
    assert graph.supervisor.restarts('value') == 1
    assert len(graph.lines_with('value died', 'SIGKILL')) == 1
    assert len(graph.lines_with('no new value')) == 1
    probe.values.clear()
    probe.wait(lambda: bool(probe.values), 'the value node is back')
    probe.wait(lambda: probe.travel(0.5) > MOVING, 'the arm moves on')


def test_a_killed_recorder_makes_the_arm_hold_and_its_bag_stays_readable(
    specs: list[NodeSpec], start, probe: Probe, tmp_path: Path
) -> None:
    graph = start(only(specs, 'arm', 'value', 'policy', 'episode'))
    begin_episode(probe)
    probe.spin(2.5)
    recorded = len(probe.joints)
    # Silent first: one that is killed at once may be up again before its silence is noticed.
    pid = graph.supervisor.pid('episode')
    os.kill(pid, signal.SIGSTOP)
    probe.wait(lambda: bool(graph.lines_with('recorder is silent')), 'the warning')
    probe.settle(STILL)
    assert probe.travel(1.0) < STILL
    assert len(graph.lines_with('recorder is silent')) == 1
    os.kill(pid, signal.SIGKILL)
    (bag,) = (tmp_path / 'bags').iterdir()
    with open_bag(bag) as reader:
        counts = reader.counts()
        assert reader.custom_data['outcome'] == 'unlabelled'
        assert reader.task is not None
    # All but the chunk of the last second.
    assert counts['/joint_states'] >= recorded - 75
    assert counts['/shoulder/image_raw'] >= 10


def test_ctrl_c_stops_everything_and_closes_the_bag(
    specs: list[NodeSpec], start, probe: Probe, tmp_path: Path
) -> None:
    graph = start(specs)
    begin_episode(probe)
    pids = [graph.supervisor.pid(s.name) for s in specs]
    graph.supervisor.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not graph.lines_with('did not stop')
    (bag,) = (tmp_path / 'bags').iterdir()
    with open_bag(bag) as reader:
        assert not reader.loss
        assert reader.custom_data['outcome'] == 'aborted'
        assert reader.custom_data['complete'] == 'true'
