# SPDX-License-Identifier: Apache-2.0
"""`vvf calibrate intrinsics` from videos, bags, devices and a real topic, and its end by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image

from tests.vvf.bag_factory import START_NS, cdr, image
from tests.vvf.board_views import Lens, photographs
from vvf.bags.writer import BagWriter, TopicSpec
from vvf.calibration import live
from vvf.calibration.charuco import Charuco
from vvf.cli.main import main
from vvf.environment import ros_environment
from vvf.errors import UserError
from vvf.images import fill_compressed, fill_image, to_rgb
from vvf.processes import PARENT
from vvf.sources import VideoSource
from vvf.task import load_task

DOMAIN = 64
LENS = Lens(320, 240, 306.0, 304.0, 165.0, 114.0, (-0.2, 0.05, 0.001, 0.0, 0.0))
BOARD = ['--charuco', '7x5', '--square', '0.04', '--marker', '0.03']
SHOWN = 3  # times that each view is shown
WRONG_SIZE = np.zeros((48, 64, 3), np.uint8)  # ends a capture with an error


@pytest.fixture(scope='module')
def shots() -> list[np.ndarray]:
    return photographs(20, Charuco(7, 5, 0.04, 0.03), LENS)


@pytest.fixture(scope='module')
def video(shots: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('video') / 'board.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = LENS.width, LENS.height, 'yuv420p'
        stream.bit_rate = 20_000_000
        for shot in np.repeat(shots, SHOWN, axis=0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shot, format='rgb24')))
        container.mux(stream.encode())
    return path


def check(file: Path, least: int = 12) -> dict:
    found = json.loads(file.read_text())
    assert found['views_used'] >= least
    assert found['fx'] == pytest.approx(LENS.fx, rel=0.01)
    assert abs(found['cx'] - LENS.cx) < 3.0
    return found


def test_a_video(video: Path, tmp_path: Path) -> None:
    numbers, preview, kept = tmp_path / 'a.json', tmp_path / 'preview.png', tmp_path / 'kept'
    words = ['--json', str(numbers), '--preview', str(preview), '--keep', str(kept), '--fps', '0']
    assert main(['calibrate', 'intrinsics', str(video), *BOARD, *words]) == 0
    found = check(numbers)
    assert found['images'] == 20 * SHOWN
    assert preview.stat().st_size > 5000
    # What was kept gives the same again.
    again = tmp_path / 'b.json'
    assert main(['calibrate', 'intrinsics', str(kept), *BOARD, '--json', str(again)]) == 0
    assert check(again)['fx'] == pytest.approx(found['fx'])


def test_what_is_kept_is_never_overwritten(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / '000.png').touch()
    words = ['calibrate', 'intrinsics', str(video), *BOARD, '--keep', str(tmp_path)]
    assert main(words) == 2
    assert 'a folder that is new or empty' in capsys.readouterr().err


def test_a_board_that_never_rests(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One picture of each place: nothing shows that the board was still."""
    fps = str(10 / SHOWN)
    assert main(['calibrate', 'intrinsics', str(video), *BOARD, '--fps', fps]) == 2
    said = capsys.readouterr().err
    assert 'was seen in 20 of 20 images, but nowhere still and sharp' in said


def write_bag(path: Path, shots: list[np.ndarray]) -> Path:
    task = load_task('pick_place')
    names = ('/shoulder/image_raw', '/wrist/image_raw')
    topics = [TopicSpec(name, 'sensor_msgs/msg/Image') for name in names]
    writer = BagWriter(path, topics, {'task_file': task.to_yaml()})
    for number, shot in enumerate(np.repeat(shots, SHOWN, axis=0)):
        now = START_NS + number * 100_000_000
        writer.write('/wrist/image_raw', now, cdr(image(now, shot)))
        writer.write('/shoulder/image_raw', now, cdr(image(now, shot[:100])))
    broken = image(now + 1, shot)
    broken.height = 5000
    writer.write('/wrist/image_raw', now + 1, cdr(broken))
    writer.close({})
    return path


def test_a_bag(shots: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / 'bag', shots)
    words = ['calibrate', 'intrinsics', str(bag), *BOARD]
    assert main(words) == 2
    assert 'more than one camera: choose with --topic' in capsys.readouterr().err
    assert main([*words, '--topic', '/elsewhere']) == 2
    assert '/shoulder/image_raw, /wrist/image_raw' in capsys.readouterr().err
    numbers = tmp_path / 'a.json'
    assert main([*words, '--camera', 'wrist', '--fps', '0', '--json', str(numbers)]) == 0
    found = check(numbers)
    assert found['width'] == LENS.width
    assert len(found['unreadable']) == 1


class Device(VideoSource):
    """Shows a video twice, and then something that ends the test rather than to go on for ever."""

    rounds = 0

    def read(self) -> np.ndarray | None:
        frame = super().read()
        if frame is not None:
            return frame
        self.rounds += 1
        self._frames = VideoSource(self._path)._decode()
        return super().read() if self.rounds < 2 else WRONG_SIZE


def test_a_device_ends_when_nothing_is_missing(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live, 'open_device', lambda *_: Device(video))
    numbers = tmp_path / 'a.json'
    words = ['/dev/video0', *BOARD, '--json', str(numbers), '--max-speed', '2']
    assert main(['calibrate', 'intrinsics', *words]) == 0
    found = check(numbers)
    (kept,) = (tmp_path / 'runs' / 'calibration' / 'camera').iterdir()
    assert len(list(kept.iterdir())) == found['views_found']


def test_a_device_that_gives_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, '_FIRST_WITHIN_S', 0.1)
    assert main(['calibrate', 'intrinsics', '/dev/null', *BOARD]) == 2
    assert 'camera /dev/null gives no images' in capsys.readouterr().err


class Graph:
    """A camera that shows a board to a running graph, and somebody who watches the preview."""

    def __init__(self, shots: list[np.ndarray]) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node('camera', context=self.context)
        self.raw = self.node.create_publisher(Image, '/cam/image_raw', qos_profile_sensor_data)
        self.packed = self.node.create_publisher(
            CompressedImage, '/cam/image_raw/compressed', qos_profile_sensor_data
        )
        self.previews: list[Image] = []
        self.node.create_subscription(
            Image, '/calibration/preview', self.previews.append, qos_profile_sensor_data
        )
        self.node.create_timer(0.05, self._publish)
        self._shots, self._number = shots, 0
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._stop = threading.Event()
        self._thread.start()

    def _publish(self) -> None:
        if not (self.raw.get_subscription_count() or self.packed.get_subscription_count()):
            self._number = 0  # who comes next sees the same views first, whenever it comes
            return
        rounds, shot_number = divmod(self._number // 4, len(self._shots))
        shot = WRONG_SIZE if rounds > 4 else self._shots[shot_number]
        stamp = self.node.get_clock().now().to_msg()
        self._number += 1
        for publisher, message in (
            (self.raw, fill_image(Image(), shot)),
            (self.packed, fill_compressed(CompressedImage(), shot)),
        ):
            if publisher.get_subscription_count():
                message.header.stamp = stamp
                publisher.publish(message)

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture(scope='module')
def graph(shots: list[np.ndarray]) -> Iterator[Graph]:
    made = Graph(shots)
    yield made
    made.close()


def test_a_topic_until_nothing_is_missing(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(DOMAIN))
    numbers = tmp_path / 'a.json'
    words = ['--json', str(numbers), '--preview-topic', '/calibration/preview']
    assert main(['calibrate', 'intrinsics', '/cam/image_raw', *BOARD, *words]) == 0
    check(numbers)
    assert to_rgb(graph.previews[-1]).shape[1] == 960


def test_ctrl_c_ends_the_capture_and_not_the_calibration(graph: Graph, tmp_path: Path) -> None:
    out = tmp_path / 'wrist.yaml'
    words = ['/cam/image_raw/compressed', *BOARD, '--out', str(out)]
    with subprocess.Popen(
        [sys.executable, '-m', 'vvf', 'calibrate', 'intrinsics', *words],
        env=ros_environment() | {'ROS_DOMAIN_ID': str(DOMAIN), PARENT: str(os.getpid())},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a script has Ctrl-C switched off, and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        errors = ''
        for line in process.stderr:
            errors += line
            if line.startswith('view 5 taken'):
                process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        process.wait(60)
    assert process.returncode == 0, errors
    assert 'stopped: calibrating with what is there' in errors
    assert 'reprojection RMS' in said
    assert 'warning: only ' in said
    assert out.is_file()


def test_a_topic_that_nobody_publishes(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(DOMAIN))
    monkeypatch.setattr(live, '_LOOK_FOR_S', 0.5)
    assert main(['calibrate', 'intrinsics', '/elsewhere/image_raw', *BOARD]) == 2
    assert 'there is no file /elsewhere/image_raw' in capsys.readouterr().err


def test_a_topic_whose_images_cannot_be_read(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = '/cam/depth'
    publisher = graph.node.create_publisher(Image, topic, qos_profile_sensor_data)
    depth = Image(height=4, width=4, encoding='16UC1', step=8, data=bytes(32))
    with live.CaptureNode(domain=DOMAIN) as node:
        pictures = node.take(topic)
        shown = iter(pictures)
        while not pictures.unreadable:
            publisher.publish(depth)
            assert next(shown) is None
        monkeypatch.setattr(live, '_FIRST_WITHIN_S', 0.0)
        with pytest.raises(UserError, match=f"^{topic}: image encoding '16UC1' is depth"):
            next(shown)
