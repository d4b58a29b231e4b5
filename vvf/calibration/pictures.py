# SPDX-License-Identifier: Apache-2.0
"""Pictures of a board at rest: a folder of images, a video, a recorded bag."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vvf.bags.frames import IMAGE_TYPES, header_stamp
from vvf.bags.reader import DecodeError, is_bag, open_bag
from vvf.errors import UserError
from vvf.images import ImageError, RgbImage, to_rgb
from vvf.sources import VideoSource

_IMAGES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.ppm', '.pgm', '.webp'}


@dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
        name: where it is from: a file, or a time.
        image: RGB (height, width, 3).
        stamp: seconds; only differences matter.
    """

    name: str
    image: RgbImage
    stamp: float


class Pictures(Protocol):
    """Gives pictures, one after the other.

    Attributes:
        live: whether more come while one looks; `None` is given where there is none right now.
        unreadable: what was left out, and why.
    """

    live: bool
    unreadable: list[str]

    def __iter__(self) -> Iterator[Picture | None]:
        """The pictures; at rest, all of them."""
        ...


class Folder:
    """Images of a folder, in the order of their names.

    Raises:
        UserError: there is none.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self.unreadable: list[str] = []
        self.files = sorted(
            p for p in path.iterdir() if p.is_file() and p.suffix.lower() in _IMAGES
        )
        if not self.files:
            raise UserError(f'{path} holds no images; give a folder of JPEG or PNG files.')

    def __iter__(self) -> Iterator[Picture]:
        """Yield what can be read."""
        for number, file in enumerate(self.files):
            raw = np.fromfile(file, np.uint8)
            # A camera's notes about its orientation would turn some images and not others.
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            image = cv2.imdecode(raw, flags) if raw.size else None
            if image is None:
                self.unreadable.append(f'{file.name}: no image that can be read')
                continue
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            yield Picture(file.name, rgb, float(number))


class Video:
    """Some frames of a video.

    Args:
        path: the file.
        fps: how many of a second; 0: all.
    """

    live = False

    def __init__(self, path: Path, fps: float) -> None:
        self.unreadable: list[str] = []
        self._path, self._fps = path, fps
        VideoSource(path).close()  # that it cannot be read is said before anything else begins

    def __iter__(self) -> Iterator[Picture]:
        """Yield frames at about that rate."""
        source = VideoSource(self._path)
        rate = source.rate_hz or 30.0
        step = max(1, round(rate / self._fps)) if self._fps else 1
        try:
            number = 0
            while (frame := source.read()) is not None:
                if number % step == 0:
                    yield Picture(f'{number / rate:.2f} s', frame, number / rate)
                number += 1
            if source.damage:
                self.unreadable.append(source.damage)
        finally:
            source.close()


class Bag:
    """Some images of a topic of a bag.

    Args:
        path: the bag.
        fps: how many of a second; 0: all.
        topic: the images'; '' where the bag has only one of images.
        camera: a camera of the task that is kept in the bag, instead of a topic.

    Raises:
        UserError: it is no bag, or it has no such topic.
    """

    live = False

    def __init__(self, path: Path, fps: float, topic: str = '', camera: str = '') -> None:
        self.unreadable: list[str] = []
        self._path, self._fps = path, fps
        with open_bag(path) as reader:
            known = sorted(name for name, t in reader.topics.items() if t.type in IMAGE_TYPES)
            if camera and not topic:
                if reader.task is None:
                    raise UserError(
                        f'{path} holds no task, hence no cameras: give --topic, one of '
                        f'{", ".join(known) or "none"}.'
                    )
                topic = reader.task.camera(camera).topic
        if not topic and len(known) == 1:
            topic = known[0]
        if topic not in known:
            what = f'no images on {topic}' if topic else 'more than one camera'
            if not known:
                raise UserError(f'{path} has no topic with images: give another bag.')
            raise UserError(f'{path} has {what}: choose with --topic of {", ".join(known)}.')
        self.topic = topic

    def __iter__(self) -> Iterator[Picture]:
        """Yield images at about that rate, by their own stamps."""
        with open_bag(self._path) as reader:
            first = due = None
            for _, kind, recorded_ns, cdr in reader.messages({self.topic}):
                stamp = 1e-9 * (header_stamp(cdr, kind) or recorded_ns)
                first = stamp if first is None else first
                if due is not None and stamp < due:
                    continue
                due = stamp + 0.95 / self._fps if self._fps else None
                name = f'{stamp - first:.2f} s'
                try:
                    image = to_rgb(reader.deserialize(cdr, kind))
                except (DecodeError, ImageError) as error:
                    self.unreadable.append(f'{name}: {error}')
                    continue
                yield Picture(name, image, stamp - first)


def open_recorded(path: Path, fps: float, topic: str = '', camera: str = '') -> Pictures:
    """A folder of images, a video or a bag.

    Raises:
        UserError: it is none of them.
    """
    if not path.exists():
        raise UserError(
            f'{path} does not exist: give a folder of images, a video, a bag, a device such as '
            '/dev/video0, or an image topic of a running graph.'
        )
    if is_bag(path):
        return Bag(path, fps, topic, camera)
    if path.is_dir():
        return Folder(path)
    if path.suffix.lower() in _IMAGES:
        raise UserError(f'{path} is one image, which determines no lens: give a folder of them.')
    return Video(path, fps)
