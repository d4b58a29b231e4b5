# SPDX-License-Identifier: Apache-2.0
"""The episode node on real rclpy: services, ring buffer, compressed images, room on the disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vvf_msgs.msg import EpisodeEvent
from vvf_msgs.srv import EndEpisode, StartEpisode

from vvf.bags.audit import AUDIT
from vvf.bags.reader import open_bag
from vvf.errors import UserError
from vvf.images import fill_compressed, fill_image, to_rgb
from vvf.nodes.common import LATCHED
from vvf.nodes.episode import EpisodeNode

RAW, JPEG = '/cam/image_raw', '/cam/image_raw/compressed'
TASK = """
name: watched
instruction: look
robot: none
rate_hz: 5
cameras:
  - {name: cam, topic: /cam/image_raw, rate_hz: 1}
state:
  - {topic: /joint_states, type: joint_state, names: [waist]}
record:
  - {topic: /vvf/episode, type: vvf_msgs/msg/EpisodeEvent, qos: latched}
  - {topic: /plan, type: std_msgs/msg/String, qos: latched}
"""


class Bench:
    """An episode node, a robot and an operator, spun together."""

    def __init__(self, folder: Path, **parameters: object) -> None:
        self.bags = folder / 'bags'
        task = folder / 'watched.yaml'
        task.write_text(TASK)
        given = {'task': str(task), 'directory': str(self.bags), **parameters}
        words = [word for k, v in given.items() for word in ('-p', f'{k}:={v}')]
        self.context = rclpy.Context()
        rclpy.init(args=['--ros-args', *words], context=self.context, domain_id=95)
        self.node = EpisodeNode(context=self.context)
        self.other = rclpy.create_node('bench', context=self.context)
        sensor = qos_profile_sensor_data
        self.raw = self.other.create_publisher(Image, RAW, sensor)
        self.jpeg = self.other.create_publisher(CompressedImage, JPEG, sensor)
        self.joints = self.other.create_publisher(JointState, '/joint_states', 10)
        self.events: list[EpisodeEvent] = []
        self.other.create_subscription(EpisodeEvent, '/vvf/episode', self.events.append, LATCHED)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)

    def close(self) -> None:
        self.node.close()
        for node in (self.node, self.other):
            self.executor.remove_node(node)
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def wait(self, done: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def ask(self, kind: type, name: str, request: Any) -> Any:
        client = self.other.create_client(kind, f'/vvf/episode/{name}')
        self.wait(client.service_is_ready)
        future = client.call_async(request)
        self.wait(future.done)
        self.other.destroy_client(client)
        return future.result()

    def start(self, **request: str) -> StartEpisode.Response:
        self.wait(lambda: not self.node.silent_topics())
        return self.ask(StartEpisode, 'start', StartEpisode.Request(**request))

    def end(self, outcome: int = 0, name: str = 'end') -> EndEpisode.Response:
        return self.ask(EndEpisode, name, EndEpisode.Request(outcome=outcome, note='a note'))

    def see(self, times: int = 1) -> None:
        """Publish an image of each kind and a joint state, until the node has them."""
        camera = self.node.task.cameras[0].topic
        counts = self.node.topics.counts
        for _ in range(times):
            wanted = {topic: counts[topic] + 1 for topic in (camera, '/joint_states')}
            image = np.full((48, 64, 3), 99, np.uint8)
            self.raw.publish(fill_image(Image(), image))
            self.jpeg.publish(fill_compressed(CompressedImage(), image))
            self.joints.publish(JointState(name=['waist'], position=[0.5]))
            self.wait(lambda wanted=wanted: all(counts[t] >= n for t, n in wanted.items()))


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**parameters: object) -> Bench:
        made.append(Bench(tmp_path, **parameters))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def test_an_episode_ends_with_an_audit_in_its_bag_and_in_its_last_event(begin) -> None:
    bench = begin()
    answer = bench.start(instruction='look twice')
    assert answer.success, answer.message
    assert 'still running' in bench.start().message
    bench.see(3)
    ended = bench.end()
    assert ended.success
    with open_bag(Path(ended.path)) as bag:
        assert bag.counts() == {RAW: 3, '/joint_states': 3, '/vvf/episode': 2}
        assert bag.custom_data['outcome'] == 'success'
        assert bag.custom_data['note'] == 'a note'
        assert bag.custom_data['instruction'] == 'look twice'
        audit = json.loads(bag.custom_data[AUDIT])
        (*_, last) = bag.messages(['/vvf/episode'])
        event = bag.deserialize(last[3], last[1])
    assert audit['topics'][RAW]['count'] == 3
    assert audit['topics']['/vvf/episode']['count'] == 2
    assert (audit['dropped'], audit['lost']) == (0, 0)
    assert event.event == EpisodeEvent.END
    note, head, *table = event.detail.splitlines()
    assert note == 'a note'
    assert head.split() == ['topic', 'messages', 'Hz', 'longest', 'gap', 'dropped', 'lost']
    assert [line.split()[:2] for line in table[:2]] == [[RAW, '3'], ['/joint_states', '3']]


def test_what_was_latched_before_the_episode_belongs_to_it(begin) -> None:
    bench = begin()
    plan = bench.other.create_publisher(String, '/plan', LATCHED)
    plan.publish(String(data='old'))
    plan.publish(String(data='new'))
    bench.wait(lambda: bench.node.topics.counts['/plan'] == 2)
    bench.start()
    with open_bag(Path(bench.end().path)) as bag:
        ((_, kind, stamp, data),) = bag.messages(['/plan'])
        assert bag.deserialize(data, kind).data == 'new'
        assert stamp <= next(bag.messages(['/vvf/episode']))[2]


def test_the_time_of_a_message_is_that_of_its_arrival(begin) -> None:
    bench = begin(ring_seconds=60.0)
    bench.wait(lambda: not bench.node.silent_topics())
    bench.wait(lambda: bench.joints.get_subscription_count())
    bench.joints.publish(JointState(name=['waist'], position=[0.5]))
    published_ns = time.time_ns()  # within one process it has arrived, and nobody has taken it yet
    bench.wait(lambda: bench.node.topics.counts['/joint_states'])
    with open_bag(Path(bench.ask(Trigger, 'save', Trigger.Request()).message)) as bag:
        ((*_, stamp, _),) = bag.messages(['/joint_states'])
    assert stamp <= published_ns


def test_a_recorder_that_was_held_up_catches_up_at_once(begin) -> None:
    bench = begin()
    bench.wait(lambda: not bench.node.silent_topics())
    bench.wait(lambda: bench.joints.get_subscription_count())
    for _ in range(50):  # within one process they have all arrived when this is through
        bench.joints.publish(JointState())
    turns = 0
    while not bench.node.topics.counts['/joint_states']:
        bench.executor.spin_once(timeout_sec=1.0)
        turns += 1
        assert turns < 100
    assert bench.node.topics.counts['/joint_states'] == 50


def test_what_was_judged_wrongly_is_labelled_anew(begin) -> None:
    bench = begin()
    assert 'end the episode first' in bench.end(name='label').message
    assert bench.end().message == 'no episode is running'
    bench.start()
    path = Path(bench.end(0).path)
    assert bench.end(1, name='label').success
    bench.wait(lambda: bench.events and bench.events[-1].event == EpisodeEvent.LABEL)
    with open_bag(path) as bag:
        assert bag.custom_data['outcome'] == 'failure'


def test_the_ring_buffer_becomes_a_bag_of_its_own_in_and_between_episodes(begin) -> None:
    bench = begin(ring_seconds=60.0)
    bench.wait(lambda: not bench.node.silent_topics())
    bench.see(2)
    first = bench.ask(Trigger, 'save', Trigger.Request())
    assert first.success, first.message
    bench.start(episode_id='running')
    bench.see(1)
    second = bench.ask(Trigger, 'save', Trigger.Request())
    running = bench.end().path
    for answer, frames in ((first, 2), (second, 3)):
        with open_bag(Path(answer.message)) as bag:
            assert bag.counts()[RAW] == bag.counts()['/joint_states'] == frames
            assert bag.custom_data['outcome'] == 'unlabelled'
            assert bag.custom_data['complete'] == 'true'
            assert bag.task is not None
            assert '-ring-' in bag.episode_id
    with open_bag(Path(running)) as bag:
        assert bag.counts()[RAW] == 1, 'the episode itself goes on undisturbed'


def test_without_a_ring_buffer_saving_says_how_to_have_one(begin) -> None:
    answer = begin().ask(Trigger, 'save', Trigger.Request())
    assert not answer.success
    assert 'ring_seconds:=30' in answer.message


def test_compressed_images_are_recorded_in_the_place_of_raw_ones(begin) -> None:
    bench = begin(images='compressed')
    assert bench.start().success
    bench.see(2)
    with open_bag(Path(bench.end().path)) as bag:
        assert bag.counts()[JPEG] == 2
        assert RAW not in bag.topics
        assert bag.task is not None
        assert bag.task.cameras[0].transport == 'compressed'
        (_, kind, _, data) = next(bag.messages([bag.task.cameras[0].topic]))
        assert to_rgb(bag.deserialize(data, kind)).mean() == pytest.approx(99, abs=2)


def test_a_camera_without_jpeg_is_named_with_what_can_be_done(begin) -> None:
    bench = begin(images='compressed')
    bench.other.destroy_publisher(bench.jpeg)
    bench.wait(lambda: bench.node.silent_topics() == [JPEG])
    answer = bench.ask(StartEpisode, 'start', StartEpisode.Request())
    assert JPEG in answer.message
    assert 'images:=raw' in answer.message


def test_no_episode_begins_where_the_disk_is_nearly_full(begin) -> None:
    bench = begin(min_free_gib=90000.0, ring_seconds=5.0)
    answer = bench.start()
    assert not answer.success
    assert 'GiB are free' in answer.message
    assert '90000 are wanted' in answer.message
    bench.see()
    assert '90000 are wanted' in bench.ask(Trigger, 'save', Trigger.Request()).message
    assert not bench.bags.exists()


def test_an_episode_that_fills_the_disk_is_ended_and_its_bag_is_whole(begin) -> None:
    bench = begin()
    path = Path(bench.start().path)
    bench.see(2)
    bench.node.store.min_free_gib = 90000.0
    bench.wait(lambda: not bench.node.episode_id)
    with open_bag(path) as bag:
        assert not bag.loss
        assert bag.counts()[RAW] == 2
        assert bag.custom_data['outcome'] == 'aborted'
        assert '90000 are wanted' in bag.custom_data['note']


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'images': 'moving'}, 'choose raw or compressed'),
        ({'recorder': 'tape'}, 'choose vvf or rosbag2'),
    ],
)
def test_wrong_settings_are_one_sentence(begin, parameters: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        begin(**parameters)
