# SPDX-License-Identifier: Apache-2.0
"""`vvf cameras`: devices with the names that stay, topics with what is wrong with them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from tests.vvf.scripted_camera import picture
from vvf.camera_topics import CameraTopics
from vvf.cli.main import main
from vvf.images import fill_compressed, fill_image
from vvf.sources import formats, names
from vvf.sources.formats import parse_formats
from vvf.viz.contact_sheet import contact_sheet

DOMAIN = 96

V4L2_CTL = """
ioctl: VIDIOC_ENUM_FMT
	Type: Video Capture

	[0]: 'MJPG' (Motion-JPEG, compressed)
		Size: Discrete 640x480
			Interval: Discrete 0.033s (30.000 fps)
			Interval: Discrete 0.067s (15.000 fps)
		Size: Discrete 1920x1080
			Interval: Discrete 0.033s (30.000 fps)
	[1]: 'YUYV' (YUYV 4:2:2)
		Size: Discrete 640x480
			Interval: Discrete 0.067s (15.000 fps)
"""


def test_formats_are_read_from_v4l2_ctl() -> None:
    assert parse_formats(V4L2_CTL) == [
        'MJPG 640x480 30 Hz',
        'MJPG 1920x1080 30 Hz',
        'YUYV 640x480 15 Hz',
    ]
    assert parse_formats('') == []


def test_no_camera_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(DOMAIN + 1))
    monkeypatch.setattr(names.list_devices, '__defaults__', (tmp_path / 'none', tmp_path))
    out = tmp_path / 'cameras.json'
    sheet = tmp_path / 'sheet.png'
    assert main(['cameras', '--seconds', '0.1', '--json', str(out), '--save', str(sheet)]) == 0
    said = capsys.readouterr().out
    assert 'No V4L2 camera' in said
    assert f'Nobody publishes images in ROS domain {DOMAIN + 1}' in said
    assert 'is not written' in said
    assert not sheet.exists()
    assert json.loads(out.read_text()) == {'devices': [], 'topics': []}


def test_devices_are_listed_with_what_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, index in ((0, 0), (1, 1)):
        entry = tmp_path / 'class' / f'video{number}'
        entry.mkdir(parents=True)
        (entry / 'name').write_text('HD Webcam\n')
        (entry / 'index').write_text(f'{index}\n')
    link = tmp_path / 'by-id' / 'usb-HD-index0'
    link.parent.mkdir()
    link.symlink_to('/dev/video0')
    monkeypatch.setattr(names.list_devices, '__defaults__', (tmp_path / 'class', tmp_path))
    tool = tmp_path / 'v4l2-ctl'
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{V4L2_CTL}END\n")
    tool.chmod(0o755)
    monkeypatch.setattr(formats.shutil, 'which', lambda name: str(tool))
    out = tmp_path / 'cameras.json'
    assert main(['cameras', '--seconds', '0', '--json', str(out)]) == 0
    said = capsys.readouterr().out
    assert 'MJPG 640x480 30 Hz' in said
    assert '/dev/video1' not in said, 'its metadata are no camera'
    first = json.loads(out.read_text())['devices'][0]
    assert first['stable'] == str(link)
    assert first['formats'][0] == 'MJPG 640x480 30 Hz'


@pytest.mark.parametrize(
    'arguments', [['--seconds', '-1'], ['--save', 'sheet.txt', '--seconds', '0']]
)
def test_wrong_arguments_are_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['cameras', *arguments]) == 2
    assert capsys.readouterr().err.count('\n') == 1


@pytest.fixture
def drivers() -> Iterator[rclpy.node.Node]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node('drivers', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield node
    executor.remove_node(node)
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_topics_are_seen_with_what_is_wrong_with_them(drivers: rclpy.node.Node) -> None:
    def publisher(kind: type, topic: str) -> rclpy.publisher.Publisher:
        return drivers.create_publisher(kind, topic, qos_profile_sensor_data)

    good = publisher(CompressedImage, '/good/image_raw/compressed')
    infos = publisher(CameraInfo, '/good/camera_info')
    depth = publisher(Image, '/depth/image_raw')
    unstamped = publisher(Image, '/unstamped/image_raw')
    publisher(Image, '/silent/image_raw')
    publisher(Image, '/vvf/value/plot')
    info = CameraInfo()
    info.k[0] = 600.0
    bad = Image(height=4, width=4, encoding='16UC1', step=8, data=bytes(32))
    with CameraTopics(DOMAIN) as graph:
        end = time.monotonic() + 15.0
        views = {}
        while time.monotonic() < end:
            now = drivers.get_clock().now().to_msg()
            jpeg = fill_compressed(CompressedImage(), picture(1))
            jpeg.header.stamp = bad.header.stamp = now
            good.publish(jpeg)
            infos.publish(info)
            depth.publish(bad)
            unstamped.publish(fill_image(Image(), picture(2)))
            views = {view.topic: view for view in graph.look(0.02)}
            seen = views.get('/good/image_raw/compressed')
            came = [view for view in views.values() if view.encoding]
            if seen and seen.calibrated and seen.rate_hz and (len(came), len(views)) == (3, 4):
                break
        first = views['/good/image_raw/compressed']
        assert (first.width, first.height, first.problem) == (64, 48, '')
        assert first.rate_hz > 0
        assert first.age_s is not None
        assert first.age_s >= 0.0
        assert 'colour topic' in views['/depth/image_raw'].problem
        assert 'stamps of zero' in views['/unstamped/image_raw'].problem
        assert views['/unstamped/image_raw'].age_s is None
        assert views['/silent/image_raw'].problem == 'nothing comes'


def test_a_sheet_holds_every_picture_in_its_colours() -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    tall = np.full((400, 100, 3), 90, np.uint8)
    sheet = contact_sheet([('/a', red), ('/b' * 80, tall), ('/c', red), ('/d', red)])
    assert sheet.shape == (2 * 334 + 8, 3 * 408 + 8, 3)
    np.testing.assert_array_equal(sheet[180, 200], (200, 0, 0))
    np.testing.assert_array_equal(sheet[180, 416 + 200], (90, 90, 90))
    np.testing.assert_array_equal(sheet[334 + 180, 200], (200, 0, 0))
    assert (sheet[334 + 180, 416:] == 24).all(), 'nothing is drawn where there is none'
