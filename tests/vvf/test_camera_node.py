# SPDX-License-Identifier: Apache-2.0
"""The camera node on real rclpy: a video and a topic become a camera's three topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from tests.vvf.scripted_camera import HandedCamera, picture
from vvf.calibration.camera_file import camera_yaml
from vvf.errors import UserError
from vvf.images import fill_compressed, fill_image, to_rgb
from vvf.nodes.camera import CameraNode
from vvf.paths import share

CALIBRATION = str(share() / 'calibration' / 'sim' / 'wrist.yaml')


@pytest.fixture(scope='module', autouse=True)
def ros() -> Iterator[None]:
    rclpy.init(domain_id=94)
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('video') / 'red.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        red = np.zeros((48, 64, 3), np.uint8)
        red[..., 0] = 200
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format='rgb24')))
        container.mux(stream.encode())
    return path


class Watcher:
    """A node that listens to a camera, spun together with it."""

    def __init__(self, camera: CameraNode) -> None:
        self.camera = camera
        self.node = rclpy.create_node('watcher')
        self.seen: dict[str, list] = {'raw': [], 'compressed': [], 'info': []}
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(camera)
        self.executor.add_node(self.node)

    def listen(self, name: str, kind: type, topic: str) -> None:
        self.node.create_subscription(kind, topic, self.seen[name].append, qos_profile_sensor_data)

    def wait(self, done: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self.camera.close()
        for node in (self.camera, self.node):
            self.executor.remove_node(node)
            node.destroy_node()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    made: list[Watcher] = []

    def begin(capture: Callable[[str], object] | None = None, **parameters: object) -> Watcher:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        options = {} if capture is None else {'capture': capture}
        made.append(Watcher(CameraNode(parameter_overrides=overrides, **options)))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def test_a_video_is_a_camera_with_calibration(watch, video: Path, tmp_path: Path) -> None:
    fitting = tmp_path / 'top.yaml'
    matrix = np.array([[88.0884, 0, 32], [0, 88.0884, 24], [0, 0, 1]])
    projection = np.column_stack([matrix, np.zeros(3)])
    fitting.write_text(camera_yaml('top', (64, 48), 'plumb_bob', [0.0] * 5, matrix, projection))
    watcher = watch(camera='top', source='video', video=str(video), calibration=str(fitting))
    watcher.listen('raw', Image, '/top/image_raw')
    watcher.listen('info', CameraInfo, '/top/camera_info')
    watcher.wait(lambda: len(watcher.seen['raw']) >= 5 and watcher.seen['info'])
    image = watcher.seen['raw'][0]
    pixels = to_rgb(image)
    assert pixels.shape == (48, 64, 3)
    assert pixels[..., 0].mean() > 150, 'red comes first'
    assert pixels[..., 2].mean() < 60
    assert image.header.frame_id == 'top_optical_frame'
    assert watcher.seen['info'][0].k[0] == pytest.approx(88.0884)
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in watcher.seen['raw']]
    assert stamps == sorted(set(stamps))
    assert watcher.camera._report()[2]['calibrated']


def test_a_calibration_of_another_size_is_left_out_and_named(watch, video: Path) -> None:
    watcher = watch(camera='small', source='video', video=str(video), calibration=CALIBRATION)
    watcher.listen('info', CameraInfo, '/small/camera_info')
    watcher.wait(lambda: watcher.seen['info'])
    info = watcher.seen['info'][0]
    assert (info.width, info.height) == (64, 48)
    assert (any(info.k), any(info.p), list(info.d)) == (False, False, [])
    level, said, values = watcher.camera._report()
    assert level == 1
    assert 'its camera_info is for 128x128, the images are 64x48: it is left out' in said
    assert not values['calibrated']


def test_jpeg_is_made_only_for_those_who_listen(watch, video: Path) -> None:
    watcher = watch(camera='side', source='video', video=str(video))
    watcher.listen('compressed', CompressedImage, '/side/image_raw/compressed')
    watcher.wait(lambda: watcher.seen['compressed'])
    assert watcher.seen['compressed'][0].format.startswith('rgb8; jpeg')
    assert to_rgb(watcher.seen['compressed'][0]).shape == (48, 64, 3)


def test_an_existing_compressed_topic_is_taken_over_with_its_stamps(watch) -> None:
    watcher = watch(camera='over', source='topic', topic='/driver/jpeg', transport='compressed')
    watcher.listen('raw', Image, '/over/image_raw')
    driver = watcher.node.create_publisher(CompressedImage, '/driver/jpeg', qos_profile_sensor_data)
    message = fill_compressed(CompressedImage(), np.full((48, 64, 3), 120, np.uint8))
    message.header.stamp.sec = 1234

    def taken_over() -> bool:
        driver.publish(message)
        return bool(watcher.seen['raw'])

    watcher.wait(taken_over)
    assert watcher.seen['raw'][0].header.stamp.sec == 1234
    message.data = message.data[:40]
    message.header.stamp.sec = 1235
    driver.publish(message)
    watcher.wait(lambda: watcher.camera._report()[2].get('refused_malformed'))


def test_a_device_s_frames_have_the_kernel_s_stamps(watch) -> None:
    camera = HandedCamera()
    watcher = watch(camera.open, camera='usb', width=64, height=48, freeze_s=0.0)
    watcher.listen('raw', Image, '/usb/image_raw')
    watcher.wait(lambda: watcher.node.count_publishers('/usb/image_raw'))
    taken = []

    def arrived() -> bool:
        taken.append(time.monotonic() - 0.5)
        camera.give(picture(len(taken)), taken[-1])
        return len(watcher.seen['raw']) >= 3

    watcher.wait(arrived)
    offset = time.time() - time.monotonic()
    first = watcher.seen['raw'][0]
    shown = to_rgb(first)[:, :, ::-1]
    number = next(n for n in range(1, len(taken) + 1) if np.array_equal(picture(n), shown))
    stamp = first.header.stamp.sec + first.header.stamp.nanosec * 1e-9
    assert stamp == pytest.approx(taken[number - 1] + offset, abs=0.2), 'not that of arrival'
    camera.unplug()
    watcher.wait(lambda: watcher.camera._report()[0] == 2)
    assert watcher.camera._report()[1].startswith('no frames: ')


def test_a_driver_s_jpeg_and_its_calibration_are_taken_over_as_they_are(watch) -> None:
    watcher = watch(
        camera='taken', source='topic', topic='/rs/color/image_raw/compressed',
        transport='compressed',
    )  # fmt: skip
    watcher.listen('compressed', CompressedImage, '/taken/image_raw/compressed')
    watcher.listen('info', CameraInfo, '/taken/camera_info')
    qos = qos_profile_sensor_data
    images = watcher.node.create_publisher(CompressedImage, '/rs/color/image_raw/compressed', qos)
    infos = watcher.node.create_publisher(CameraInfo, '/rs/color/camera_info', qos)
    info = CameraInfo(width=64, height=48, distortion_model='plumb_bob', d=[0.1] * 5)
    info.k[0] = 615.0
    message = fill_compressed(CompressedImage(), picture(1), 40)

    def taken_over() -> bool:
        message.header.stamp = watcher.node.get_clock().now().to_msg()
        images.publish(message)
        infos.publish(info)
        return bool(watcher.seen['compressed']) and any(i.k[0] for i in watcher.seen['info'])

    watcher.wait(taken_over)
    assert bytes(watcher.seen['compressed'][0].data) == bytes(message.data), 'not encoded again'
    assert watcher.seen['compressed'][0].header.frame_id == 'taken_optical_frame'
    known = next(i for i in watcher.seen['info'] if i.k[0])
    assert known.k[0] == 615.0
    assert list(known.d) == [0.1] * 5
    assert (known.width, known.height) == (64, 48)
    assert watcher.camera._report()[2]['calibrated']

    info.width, info.height = 640, 480

    def of_another_size() -> bool:
        taken_over()
        return not any(watcher.seen['info'][-1].k)

    watcher.wait(of_another_size)
    watcher.wait(lambda: watcher.camera._report()[0] == 1)
    _, said, values = watcher.camera._report()
    assert 'its camera_info is for 640x480, the images are 64x48' in said
    assert not values['calibrated']


def test_a_topic_without_stamps_is_stamped_by_arrival_and_a_frozen_one_is_withheld(watch) -> None:
    watcher = watch(camera='odd', source='topic', topic='/odd/driver', freeze_s=0.05, rate_hz=0.0)
    watcher.listen('raw', Image, '/odd/image_raw')
    driver = watcher.node.create_publisher(Image, '/odd/driver', qos_profile_sensor_data)
    message = fill_image(Image(), picture(1))

    def frozen() -> bool:
        driver.publish(message)
        return watcher.camera._report()[2].get('refused_frozen', 0) > 3

    watcher.wait(frozen)
    assert watcher.seen['raw'][0].header.stamp.sec > 1_700_000_000
    level, said, _ = watcher.camera._report()
    assert level == 2
    assert said.startswith('frozen')
    driver.publish(fill_image(message, picture(2)))
    watcher.wait(lambda: watcher.camera._report()[0] == 1)
    assert 'stamps of zero' in watcher.camera._report()[1]


@pytest.mark.parametrize(
    'parameters',
    [
        {'source': 'telepathy'},
        {'source': 'topic'},
        {'source': 'video', 'video': '/no/such.mp4'},
        {'source': 'device', 'device': 'front camera'},
        {'source': 'device', 'controls': 'shutter=3'},
        {'source': 'device', 'pixel_format': 'H264'},
        {'source': 'video', 'calibration': '/no/such.yaml'},
    ],
)
def test_wrong_settings_are_one_sentence(parameters: dict[str, object]) -> None:
    with pytest.raises(UserError):
        CameraNode(parameter_overrides=[Parameter(k, value=v) for k, v in parameters.items()])
