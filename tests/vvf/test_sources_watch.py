# SPDX-License-Identifier: Apache-2.0
"""Stamps that never go back, pictures that repeat, rates that are not kept."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vvf.scripted_camera import Camera, picture
from vvf.sources import DeviceSource
from vvf.sources.delivery import DeliveryWatch
from vvf.sources.freeze import FreezeWatch
from vvf.sources.reader import ERROR, OK, WARN, CameraReader
from vvf.sources.stamps import Stamper

S = 1_000_000_000
EPOCH = 1_800_000_000.0


class Clocks:
    """ROS time, which somebody may set, beside the monotonic clock."""

    def __init__(self) -> None:
        self.monotonic, self.offset = 100.0, EPOCH

    def stamper(self) -> Stamper:
        return Stamper(
            lambda: round((self.monotonic + self.offset) * S),
            lambda: self.monotonic,
            lambda: self.monotonic + self.offset,
        )


@pytest.mark.parametrize('wall', [False, True])
def test_a_stamp_of_the_kernel_becomes_ros_time(wall: bool) -> None:
    clocks = Clocks()
    stamper = clocks.stamper()
    taken = clocks.monotonic - 0.040
    stamp = stamper.stamp(taken + (EPOCH if wall else 0.0))
    assert stamp == pytest.approx((taken + EPOCH) * S, abs=1000)
    assert stamper.exact


@pytest.mark.parametrize('taken', [None, 3.0, 1e6])
def test_without_a_stamp_that_makes_sense_it_is_the_arrival(taken: float | None) -> None:
    clocks = Clocks()
    stamper = clocks.stamper()
    assert stamper.stamp(taken) == round((clocks.monotonic + EPOCH) * S)
    assert not stamper.exact


def test_a_frame_that_waited_in_the_driver_does_not_look_new() -> None:
    clocks = Clocks()
    stamper = clocks.stamper()
    first = stamper.stamp(99.99)
    clocks.monotonic += 3.0  # nobody read for three seconds
    assert stamper.stamp(99.99 + 0.033) == pytest.approx(first + 0.033 * S, abs=1000)


def test_stamps_never_go_back() -> None:
    clocks = Clocks()
    stamper = clocks.stamper()
    first = stamper.stamp(99.9)
    assert stamper.stamp(99.9) is None, 'the same buffer again'
    assert stamper.stamp(99.8) is None
    clocks.offset -= 0.5  # somebody sets the clock
    clocks.monotonic += 0.1
    assert stamper.stamp(100.05) is None
    clocks.monotonic += 0.5
    assert stamper.stamp(100.6) > first
    assert stamper.refused == 3
    assert stamper.set_back_s == 0.0


def test_a_clock_that_is_set_back_far_is_followed() -> None:
    clocks = Clocks()
    stamper = clocks.stamper()
    stamper.stamp(None)
    clocks.offset -= 3600.0
    assert stamper.stamp(None) == round((100.0 + EPOCH - 3600.0) * S)
    assert stamper.set_back_s == pytest.approx(3600.0)


def test_a_reading_of_the_clocks_that_was_interrupted_is_repeated() -> None:
    monotonic = iter([100.0, 100.2, 100.2, 100.20001])  # 0.2 s pass within the first one
    ros = iter([int(EPOCH * S), int((EPOCH + 0.2) * S)])
    stamp = Stamper(lambda: next(ros), lambda: next(monotonic), lambda: 0.0).stamp(100.1)
    assert stamp == pytest.approx((EPOCH + 0.1) * S, abs=0.001 * S)


def test_a_picture_that_stays_is_frozen_after_a_while() -> None:
    watch = FreezeWatch(1.0)
    assert not watch.add(picture(1), 0.0)
    assert [watch.add(picture(1), t) for t in (0.5, 1.0, 1.1)] == [False, False, True]
    assert watch.frozen
    almost = picture(1)
    almost[1, 1, 0] ^= 1  # one bit of one pixel, and not one that is sampled
    assert not watch.add(almost, 1.2)
    assert not watch.frozen
    assert watch.repeated == 3


def test_zero_means_that_no_picture_is_frozen() -> None:
    watch = FreezeWatch(0.0)
    assert not any(watch.add(picture(1), float(t)) for t in range(100))


def test_a_slow_camera_is_spoken_of_once_and_when_it_changes() -> None:
    watch = DeliveryWatch(30.0)
    said = [watch.update(float(t), 15.0, 0.0, 30.0) for t in range(10)]
    assert sum(map(bool, said)) == 1
    assert 'delivers 15.0 of 30 Hz' in watch.complaint
    assert 'light' in watch.complaint
    assert not watch.update(10.0, 15.5, 0.0, 30.0)
    assert 'delivers 10.0' in watch.update(11.0, 10.0, 0.0, 30.0)
    assert 'as asked again' in watch.update(12.0, 30.0, 0.0, 30.0)
    assert watch.complaint == ''
    assert not watch.update(13.0, 28.0, 0.0, 30.0)


def test_a_rate_filled_up_with_repeats_is_not_believed() -> None:
    watch = DeliveryWatch(30.0)
    said = [watch.update(float(t), 30.0, 0.5, 30.0) for t in range(10)]
    assert sum(map(bool, said)) == 1
    assert 'takes 15 pictures a second, not 30' in watch.complaint


def test_a_driver_that_promises_less_is_named() -> None:
    watch = DeliveryWatch(30.0)
    watch.update(0.0, 10.0, 0.0, 10.0)
    assert 'promises 10 Hz only' in watch.update(5.0, 10.0, 0.0, 10.0)


class Rig:
    """A reader of a scripted camera, stepped by hand, on the camera's own clock."""

    def __init__(self, camera: Camera, width: int = 64, height: int = 48) -> None:
        self.camera = camera
        self.frames: list[np.ndarray] = []
        self.stamps: list[int] = []
        self.said: list[tuple[bool, str]] = []
        source = DeviceSource('/dev/video0', width, height, 30.0, retry_s=0.0, capture=camera.open)
        clock = lambda: camera.now  # noqa: E731
        stamper = Stamper(lambda: round((camera.now + EPOCH) * S), clock, lambda: 0.0)
        self.reader = CameraReader(
            source,
            stamper,
            self.put,
            lambda warning, sentence: self.said.append((warning, sentence)),
            rate_hz=30.0,
            freeze_s=1.0,
            clock=clock,
        )

    def put(self, frame: np.ndarray, stamp: int) -> bool:
        self.frames.append(frame)
        self.stamps.append(stamp)
        return True

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.reader.step()

    def run(self, seconds: float) -> tuple[int, str, dict]:
        """Read for a while, with a report each second; returns the last one."""
        report = self.reader.report()
        for _ in range(round(seconds)):
            end = self.camera.now + 1.0
            while self.camera.now < end:
                before = self.camera.now
                self.reader.step()
                if self.camera.now == before:
                    self.camera.now += 0.05  # nothing came: the clock goes on all the same
            report = self.reader.report()
        return report

    def warnings(self) -> list[str]:
        return [sentence for warning, sentence in self.said if warning]


def test_a_good_camera_is_read_without_a_word_of_warning() -> None:
    rig = Rig(Camera())
    level, message, values = rig.run(10)
    assert (level, message) == (OK, 'ok')
    assert rig.warnings() == []
    assert values['stamps'] == 'kernel'
    assert values['rate_hz'] == pytest.approx(30.0, abs=0.5)
    assert np.all(np.diff(rig.stamps) > 0)


def test_an_unplugged_camera_is_named_once_and_comes_back() -> None:
    camera = Camera()
    rig = Rig(camera)
    rig.run(2)
    camera.device = None
    level, message, _ = rig.run(3)
    assert level == ERROR
    assert message.startswith('no frames: ')
    assert len(rig.warnings()) == 1
    assert 'gives no frames; trying again' in rig.warnings()[0]
    camera.device = '/dev/video0'
    level, _, values = rig.run(5)
    assert level == OK
    assert values['reconnects'] == 1
    assert rig.said[-1] == (False, 'the camera is back')
    assert np.all(np.diff(rig.stamps) > 0)


def test_a_frozen_camera_is_not_published_for_ever_and_is_opened_again() -> None:
    camera = Camera()
    rig = Rig(camera)
    rig.run(2)
    camera.frozen = True
    level, message, _ = rig.run(4)
    assert (level, message) == (ERROR, 'frozen: the camera repeats the same picture')
    assert [w for w in rig.warnings() if 'repeats the same picture' in w] == rig.warnings()
    assert len(rig.warnings()) == 1
    published = len(rig.frames)
    rig.run(20)
    assert len(rig.frames) == published
    assert 4 <= len(camera.opened) <= 7, 'again and again, but not at each frame'
    camera.frozen = False
    rig.run(2)
    assert len(rig.frames) > published
    assert (False, 'the picture moves again') in rig.said


def test_a_camera_slower_than_asked_is_a_warning() -> None:
    camera = Camera()
    camera.period = 1.0 / 12.0
    rig = Rig(camera)
    level, message, _ = rig.run(12)
    assert level == WARN
    assert 'delivers 12.0 of 30 Hz' in message
    assert len(rig.warnings()) == 1


def test_a_camera_of_another_size_is_a_warning() -> None:
    rig = Rig(Camera(), width=128, height=96)
    level, message, values = rig.run(6)
    assert level == WARN
    assert message == 'gives 64x48 instead of 128x96'
    assert rig.warnings() == ['the camera gives 64x48 instead of 128x96']
    assert values['promised'] == '64x48 30 Hz MJPG'


def test_frames_whose_stamps_stand_still_are_named() -> None:
    camera = Camera()
    rig = Rig(camera)
    rig.run(2)
    camera.stuck = camera.now
    published = len(rig.frames)
    level, message, _ = rig.run(3)
    assert level == ERROR
    assert message == 'nothing is published: the stamps of its frames do not advance'
    assert len(rig.frames) == published


def test_stamps_of_arrival_are_said_to_be_so() -> None:
    camera = Camera()
    camera.stamped = False
    rig = Rig(camera)
    assert rig.run(2)[2]['stamps'] == 'arrival'
    assert rig.warnings() == ['the driver stamps no frames: their stamps are the times of arrival']
    assert np.all(np.diff(rig.stamps) > 0)
