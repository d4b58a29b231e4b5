# SPDX-License-Identifier: Apache-2.0
"""The value node on real rclpy, in this process: lifecycle, stamps, goals, wrong settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vvf_msgs.msg import ValueEstimate
from vvf_msgs.srv import SetTask

from vvf.images import fill_image
from vvf.nodes.value import ValueNode
from vvf.paths import share

MODEL = str(share() / 'checkpoints' / 'icvf_bridge')


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=93)
    yield
    rclpy.try_shutdown()


@pytest.fixture
def task(tmp_path) -> str:
    file = tmp_path / 'one_camera.yaml'
    file.write_text(
        'name: one_camera\ninstruction: look\nrobot: none\nrate_hz: 5\n'
        'cameras:\n  - {name: image_0, topic: /cam/image_raw, frame_id: optical}\n'
    )
    return str(file)


class Bench:
    """A value node, a camera and a listener, spun together."""

    def __init__(self, task: str, model: str = MODEL, engine: str = 'auto') -> None:
        self.node = ValueNode(
            parameter_overrides=[
                Parameter('task', value=task),
                Parameter('model', value=model),
                Parameter('engine', value=engine),
                Parameter('autostart', value=False),
            ]
        )
        self.other = rclpy.create_node('bench')
        self.camera = self.other.create_publisher(Image, '/cam/image_raw', qos_profile_sensor_data)
        self.values: list[ValueEstimate] = []
        self.other.create_subscription(
            ValueEstimate, '/vvf/value', self.values.append, qos_profile_sensor_data
        )
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)

    def close(self) -> None:
        for node in (self.node, self.other):
            self.executor.remove_node(node)
            node.destroy_node()

    def start(self) -> None:
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def wait(self, done: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def see(self, level: int) -> ValueEstimate:
        """Publish a grey image until its value is back."""
        self.wait(lambda: self.camera.get_subscription_count())
        sent: list[object] = []
        due = 0.0

        def answers() -> list[ValueEstimate]:
            nonlocal due
            if time.monotonic() >= due:  # again, until both sides have found each other
                message = fill_image(Image(), grey(level))
                message.header.stamp = self.other.get_clock().now().to_msg()
                sent.append(message.header.stamp)
                self.camera.publish(message)
                due = time.monotonic() + 0.3
            return [v for v in self.values if v.header.stamp in sent]

        self.wait(answers)
        return answers()[0]


def grey(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


@pytest.fixture
def bench(task: str) -> Iterator[Bench]:
    made = Bench(task)
    yield made
    made.close()


def test_an_estimate_carries_the_stamp_and_frame_of_its_image(bench: Bench) -> None:
    bench.start()
    estimate = bench.see(90)
    assert estimate.header.frame_id == 'optical'
    assert estimate.model == 'icvf_bridge'
    assert estimate.task == 'one_camera'
    assert np.isfinite(estimate.value)
    assert 0.0 <= estimate.progress <= 1.0
    assert np.isnan(estimate.advantage), 'no ten steps have passed'
    assert not estimate.indicator


def test_an_inactive_node_scores_nothing_and_a_cleaned_one_can_be_configured_again(
    bench: Bench,
) -> None:
    bench.start()
    bench.see(90)
    assert bench.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    bench.wait(lambda: bench.camera.get_subscription_count() == 0)
    assert bench.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    bench.start()
    bench.see(90)
    stamps = [(v.header.stamp.sec, v.header.stamp.nanosec) for v in bench.values]
    assert len(set(stamps)) == len(stamps), 'no subscription is left over'


def test_a_node_that_is_shut_down_scores_no_more(bench: Bench) -> None:
    bench.start()
    bench.see(90)
    assert bench.node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    bench.wait(lambda: bench.camera.get_subscription_count() == 0)
    bench.wait(lambda: bench.other.count_publishers('/vvf/value') == 0)


def test_another_goal_gives_another_value_and_none_brings_the_old_one_back(bench: Bench) -> None:
    bench.start()
    before = bench.see(90).value
    client = bench.other.create_client(SetTask, '/vvf/set_task')
    bench.wait(client.service_is_ready)

    def ask(request: SetTask.Request) -> SetTask.Response:
        future = client.call_async(request)
        bench.wait(future.done)
        return future.result()

    goal = fill_image(Image(), grey(90))
    assert ask(SetTask.Request(goal_images=[goal], goal_cameras=['image_0'])).success
    at_goal = bench.see(90).value
    assert at_goal != pytest.approx(before)
    refused = ask(SetTask.Request(goal_images=[goal], goal_cameras=['no_such_camera']))
    assert not refused.success
    assert 'image_0' in refused.message
    assert bench.see(90).value == pytest.approx(at_goal), 'a refused goal changes nothing'
    assert ask(SetTask.Request()).success
    assert bench.see(90).value == pytest.approx(before)


def test_the_engine_is_that_of_the_parameter(task: str, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    found = []
    for engine in ('torch', 'openvino'):
        bench = Bench(task, engine=engine)
        try:
            bench.start()
            found.append(bench.see(90).value)
        finally:
            bench.close()
    assert found[0] == pytest.approx(found[1], rel=0.01)
    assert list(tmp_path.rglob('model.xml')), 'it was converted'


def test_wrong_settings_are_a_sentence_and_a_refused_transition(task: str) -> None:
    for model, words in (
        (str(share() / 'checkpoints' / 'bc_pick_place'), 'no value model'),
        (str(share() / 'checkpoints' / 'icvf_pick_place'), 'shoulder'),
        ('/no/such/folder', '/no/such/folder'),
        (MODEL, 'no engine "tpu"'),
    ):
        bench = Bench(task, model, 'tpu' if model == MODEL else 'auto')
        try:
            assert bench.node.trigger_configure() == TransitionCallbackReturn.FAILURE
            assert words in bench.node.failure
        finally:
            bench.close()
