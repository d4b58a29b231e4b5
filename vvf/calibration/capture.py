# SPDX-License-Identifier: Apache-2.0
"""Takes views out of a stream of pictures: when the board is still, sharp, and somewhere new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vvf.calibration.board import Board, Detection, Gray
from vvf.calibration.coverage import NEW, Coverage, look
from vvf.calibration.intrinsics import View
from vvf.calibration.pictures import Picture
from vvf.errors import UserError
from vvf.images import RgbImage, encode_jpeg

#: Widths of the image per second: 64 pixels at 640, half a pixel while a shutter is open for 8 ms.
MAX_SPEED = 0.1
#: Standard deviation of an edge's blur, as part of the image's width: 2 pixels at 640.
MAX_BLUR = 2.0 / 640
_PATCH = 7
# After a longer pause, the board must be where it was as if the pause had been so long.
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Verdict:
    """What became of a picture.

    Attributes:
        taken: whether it is a view now.
        reason: in a few words.
        detection: the board, where it is seen.
    """

    taken: bool
    reason: str
    detection: Detection | None = None


class Views:
    """The views that were found so far, and what they cover.

    Args:
        board: what is looked for.
        keep: a folder in which every picture of a view is kept; it is made.

    Attributes:
        views: see `vvf.calibration.intrinsics.View`.
        looked_at: how many pictures were offered.
        seen: in how many of them the board was found.
        last_without: the last one in which it was not.
    """

    def __init__(self, board: Board, keep: Path | None = None) -> None:
        self.board, self.keep = board, keep
        self.views: list[View] = []
        self.looked_at = self.seen = 0
        self.coverage: Coverage | None = None
        self.last_without: Gray | None = None
        self._pictures: dict[str, bytes] = {}
        self._first = ''

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, (0, 0) before the first."""
        return self.coverage.size if self.coverage else (0, 0)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing any more."""
        return self.coverage is not None and not self.coverage.missing()

    def find(self, picture: Picture, *, quick: bool = False) -> tuple[Gray, Detection | None]:
        """Look for the board.

        Raises:
            UserError: the picture has another size than those before.
        """
        height, width = picture.image.shape[:2]
        if self.coverage is None:
            self.coverage, self._first = Coverage(self.board, (width, height)), picture.name
        if (width, height) != self.size:
            raise UserError(
                f'the images have different sizes: {self._first} has {self.size[0]}x{self.size[1]},'
                f' {picture.name} has {width}x{height}; give those of one camera in one mode.'
            )
        self.looked_at += 1
        gray = np.asarray(cv2.cvtColor(picture.image, cv2.COLOR_RGB2GRAY), np.uint8)
        detection = self.board.find(gray, quick=quick)
        if detection is None:
            self.last_without = gray
        else:
            self.seen += 1
        return gray, detection

    def add(self, picture: Picture, detection: Detection) -> None:
        """Count a picture as a view, and keep it."""
        assert self.coverage is not None
        name = picture.name
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            name = f'{len(self.views):03}.png'
            Image.fromarray(picture.image).save(self.keep / name)
        self.views.append(View(name, detection))
        self.coverage.add(detection)
        self._pictures[name] = encode_jpeg(picture.image, 95)

    def picture(self, view: View) -> RgbImage:
        """The picture of a view, (height, width, 3)."""
        packed = np.frombuffer(self._pictures[view.name], np.uint8)
        return np.asarray(cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))

    def find_all(self, pictures: Iterable[Picture | None]) -> Iterable[Verdict]:
        """Take every picture with the board; for a folder that somebody chose."""
        for picture in pictures:
            assert picture is not None
            _, detection = self.find(picture)
            if detection is not None:
                self.add(picture, detection)
            yield Verdict(detection is not None, picture.name, detection)


class Chooser:
    """Chooses views among the frames of a stream.

    Args:
        views: where they go.
        max_speed: see `MAX_SPEED`.
    """

    def __init__(self, views: Views, max_speed: float = MAX_SPEED) -> None:
        self.views, self._max_speed = views, max_speed
        self._before: tuple[float, Detection] | None = None

    def offer(self, picture: Picture) -> Verdict:
        """Take the picture as a view, or say why not.

        Raises:
            UserError: see `Views.find`.
        """
        gray, detection = self.views.find(picture, quick=True)
        before = self._before
        self._before = None if detection is None else (picture.stamp, detection)
        if detection is None:
            return Verdict(False, 'no board')
        width, _ = self.views.size
        if before is None or picture.stamp <= before[0]:
            return Verdict(False, 'wait', detection)
        pause = min(picture.stamp - before[0], _PAUSE_S)
        if moved(before[1], detection) > self._max_speed * pause * width:
            return Verdict(False, 'hold it still', detection)
        if blur(gray, detection) > MAX_BLUR * width:
            return Verdict(False, 'blurred', detection)
        coverage = self.views.coverage
        assert coverage is not None
        like, distance = coverage.nearest(look(self.views.board, detection, coverage.size))
        if distance < NEW:
            return Verdict(False, f'much like view {like + 1}', detection)
        self.views.add(picture, detection)
        return Verdict(True, f'view {len(self.views.views)} taken', detection)


def moved(before: Detection, now: Detection) -> float:
    """Median distance, in pixels, that the corners of a board have moved; inf if none is common."""
    _, a, b = np.intersect1d(before.ids, now.ids, return_indices=True)
    if not len(a):
        return float('inf')
    return float(np.median(np.linalg.norm(now.points[b] - before.points[a], axis=1)))


def blur(gray: Gray, detection: Detection) -> float:
    """How far the edges at a board's corners are smeared: a Gaussian's deviation, in pixels.

    An edge of a height h that was smeared so is nowhere steeper than h / (deviation * sqrt(2 pi)).
    Of the edges in both directions the softer ones count, since motion smears one of them only.
    """
    height, width = gray.shape
    reach = max(_PATCH, round(_PATCH * width / 640))
    found = []
    for x, y in np.round(detection.points).astype(int):
        if not (reach <= x < width - reach and reach <= y < height - reach):
            continue
        patch = gray[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(np.float32)
        dark, bright = np.percentile(patch, (5, 95))
        steepest = min(float(np.abs(slope).max()) for slope in np.gradient(patch))
        found.append((bright - dark) / max(1e-6, steepest * np.sqrt(2 * np.pi)))
    return float(np.median(found)) if found else 0.0
