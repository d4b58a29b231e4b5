# SPDX-License-Identifier: Apache-2.0
"""The policy node with a policy that takes its time, and in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from std_msgs.msg import String
from vvf_msgs.msg import EpisodeEvent

from tests.vvf.policy_bench import PolicyBench, write_policy, write_task
from vvf.environment import ros_environment
from vvf.nodes.common import seconds


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=95)
    yield
    rclpy.try_shutdown()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[object]:
    made: list[PolicyBench] = []

    def bench(**parameters: object) -> PolicyBench:
        made.append(PolicyBench(tmp_path, 1, **parameters))
        return made[-1]

    yield bench
    for each in made:
        each.close()


class SlowPolicy:
    """Takes the place of a bench's policy: computes until it may go, and notes what was asked."""

    def __init__(self, bench: PolicyBench) -> None:
        self.asked: list[dict[str, object]] = []
        self.go = threading.Event()
        act = bench.node._model.act

        def slowly(images: object, state: object, **under_way: object) -> np.ndarray:
            self.asked.append(under_way)
            assert self.go.wait(20)
            return act(images, state, **under_way)

        bench.node._model.act = slowly


def frames_until(bench: PolicyBench, done) -> None:
    """Show frames, a little faster than actions are due."""
    bench.see_until(done, 0.17)


def test_late_inference_is_counted_and_nothing_is_commanded_meanwhile(make) -> None:
    bench = make(horizon=100, execute=2, max_sight_age_s=60.0)
    slow = SlowPolicy(bench)
    reports: list[dict[str, str]] = []
    bench.other.create_subscription(
        DiagnosticArray,
        '/diagnostics',
        lambda m: reports.append({v.key: v.value for v in m.status[0].values}),
        10,
    )
    bench.begin()
    frames_until(bench, lambda: slow.asked)
    frames_until(bench, lambda: bench.node._plan.late == 3)
    assert not bench.actions, 'the arm gets nothing, so it holds'
    assert len(slow.asked) == 1, 'one inference at a time, however many frames come'
    # The node is not kept from its messages: it reports all along.
    bench.wait(lambda: any(r.get('late') == '3' for r in reports))
    slow.go.set()
    bench.wait(lambda: not bench.node._plan.busy)
    assert not bench.actions, 'the frame that was asked about is not the newest any more'
    frames_until(bench, lambda: bench.actions)
    assert bench.actions[0].horizon == 100, 'nothing was executed meanwhile, so nothing is cut'
    frames_until(bench, lambda: len(bench.actions) > 4)
    assert bench.node._plan.late == 3
    assert bench.node._plan.dropped == 0


def test_a_chunk_that_is_older_than_it_is_long_is_dropped(make) -> None:
    bench = make(horizon=2)
    slow = SlowPolicy(bench)
    bench.begin()
    frames_until(bench, lambda: bench.node._plan.late == 4)
    slow.go.set()
    frames_until(bench, lambda: bench.actions)
    assert bench.node._plan.dropped == 1
    assert len(slow.asked) >= 2, 'a newer frame was answered instead'


def test_what_was_computed_from_an_old_sight_is_not_begun(make) -> None:
    bench = make(horizon=100, max_sight_age_s=0.4)
    slow = SlowPolicy(bench)
    bench.begin()
    frames_until(bench, lambda: slow.asked)
    asked_at = bench.other.get_clock().now().nanoseconds * 1e-9
    frames_until(bench, lambda: bench.node._plan.late == 3)
    slow.go.set()
    frames_until(bench, lambda: bench.actions)
    assert bench.node._plan.dropped == 1
    assert seconds(bench.actions[0].header.stamp) > asked_at + 0.4
    assert bench.actions[0].horizon == 100, 'a chunk of its own'


def test_what_was_asked_before_the_end_is_not_executed_after_it(make) -> None:
    bench = make(horizon=100)
    slow = SlowPolicy(bench)
    bench.begin()
    frames_until(bench, lambda: slow.asked)
    bench.say(EpisodeEvent.END)
    bench.wait(lambda: bench.node._began is None)
    bench.begin()
    began = bench.node._began
    slow.go.set()
    frames_until(bench, lambda: bench.actions)
    assert seconds(bench.actions[0].header.stamp) >= began


def test_a_chunk_goes_on_from_what_is_under_way(make) -> None:
    bench = make(horizon=8, execute=3, rtc=True)
    slow = SlowPolicy(bench)
    slow.go.set()
    bench.begin()
    frames_until(bench, lambda: len(slow.asked) > 2)
    assert slow.asked[0] == {}, 'nothing is under way at first'
    assert slow.asked[1]['frozen'] >= 1, 'at least one step is executed while it computes'
    under_way = slow.asked[1]['previous']
    # The n-th action has what is left of the first chunk from its n-th step on.
    then = bench.actions[8 - len(under_way)]
    np.testing.assert_allclose(np.reshape(then.data, (-1, 6)), under_way[:, :6], atol=1e-6)


def test_while_a_human_has_the_arm_every_chunk_begins_with_its_own_frame(make) -> None:
    bench = make(horizon=8, execute=3)

    def horizons(count: int) -> list[int]:
        """Of the next actions that answer frames from now on."""
        since = bench.other.get_clock().now().nanoseconds * 1e-9

        def newer() -> list[int]:
            return [a.horizon for a in bench.actions if seconds(a.header.stamp) > since]

        frames_until(bench, lambda: len(newer()) >= count)
        return newer()[:count]

    bench.begin()
    assert horizons(2)[1] < 8, 'the second step of a chunk'
    bench.say(EpisodeEvent.INTERVENTION_START)
    bench.wait(lambda: bench.node._human)
    assert horizons(4) == [8] * 4
    bench.say(EpisodeEvent.INTERVENTION_END)
    bench.wait(lambda: not bench.node._human)
    assert horizons(2) == [8, 7]


def test_while_the_arm_does_not_follow_nothing_counts_as_executed(make) -> None:
    bench = make(horizon=8, execute=8)
    node = bench.node
    bench.begin()
    frames_until(bench, lambda: len(bench.actions) >= 2)
    assert bench.actions[-1].horizon < 8
    bench.arm.publish(String(data='stopped: reset it with /vvf/estop_reset'))
    bench.wait(lambda: not node._arm_follows)
    count, seen = node.latency.count, node._observer.accepted
    frames_until(bench, lambda: node._observer.accepted >= seen + 3)
    assert node.latency.count == count
    assert not node._plan.busy, 'nothing is computed in vain'
    bench.arm.publish(String(data='waiting: no joint state yet'))
    bench.arm.publish(String(data='holding'))
    bench.wait(lambda: node._arm_follows)
    bench.actions.clear()
    frames_until(bench, lambda: bench.actions)
    assert bench.actions[0].horizon == 8, 'a chunk of its own, not the rest of the old one'


@pytest.mark.parametrize('only_in_episodes', [True, False])
def test_a_frame_from_before_a_human_gave_back_is_not_answered(make, only_in_episodes) -> None:
    bench = make(only_in_episodes=only_in_episodes)
    node = bench.node
    frames_until(bench, lambda: node._observer.accepted)
    bench.begin()
    bench.say(EpisodeEvent.INTERVENTION_START)
    bench.wait(lambda: node._human)
    old = []
    for _ in range(3):  # as long as a camera takes
        old.append(bench.other.get_clock().now().to_msg())
        bench.executor.spin_once(timeout_sec=0.01)
    bench.say(EpisodeEvent.INTERVENTION_END)
    bench.wait(lambda: not node._human)
    bench.actions.clear()
    before = node._observer.accepted
    for stamp in old:
        bench.see(stamp)
    bench.wait(lambda: node._observer.accepted > before)
    frames_until(bench, lambda: bench.actions)
    assert seconds(bench.actions[0].header.stamp) >= node._oldest > seconds(old[-1])


@pytest.mark.parametrize('call', ['act', 'set_instruction'])
def test_what_breaks_in_the_policys_thread_ends_the_node(make, call: str) -> None:
    bench = make()

    def breaks(*given: object) -> None:
        raise RuntimeError('out of memory')

    setattr(bench.node._model, call, breaks)
    bench.say(EpisodeEvent.START, 'fold')
    with pytest.raises(RuntimeError, match='out of memory'):
        frames_until(bench, lambda: bench.actions)


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [({'indicator': 'good'}, 'choose positive'), ({'candidates': 4}, 'has no Q function')],
)
def test_what_a_policy_cannot_be_asked_for_is_one_sentence(make, wrong, words) -> None:
    bench = make(start=False, **wrong)
    assert bench.node.trigger_configure() != TransitionCallbackReturn.SUCCESS
    assert words in bench.node.failure


def test_a_policy_in_another_process_acts_over_dds(tmp_path: Path, make) -> None:
    """As on another host: its own command, its own parameters, nothing shared but the topics."""
    bench = make(start=False)
    arguments = {
        'task': write_task(tmp_path, 1),
        'model': write_policy(tmp_path / 'policy', 1),
        'indicator': 'none',
        'guidance': 2.0,
    }
    command = [sys.executable, '-m', 'vvf.nodes.policy', '--ros-args']
    for name, value in arguments.items():
        command += ['-p', f'{name}:={value}']
    environment = {**ros_environment(), 'ROS_DOMAIN_ID': '95'}
    with subprocess.Popen(command, env=environment) as process:
        try:
            bench.wait(lambda: bench.other.count_subscribers('/cam/image_raw') > 0, 60)
            bench.say(EpisodeEvent.START, 'unfold')
            frames_until(bench, lambda: bench.actions)
            assert bench.actions[0].policy == 'policy'
            assert bench.actions[0].horizon == 2
        finally:
            process.terminate()
        assert process.wait(30) == 0
