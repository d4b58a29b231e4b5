# SPDX-License-Identifier: Apache-2.0
"""Checks a recording: its images with the joints of their stamps, as a picture or a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from vvf.bags.frames import header_stamp
from vvf.bags.reader import DecodeError, open_bag
from vvf.calibration.board import Board
from vvf.calibration.poses_bag import camera_topic, joint_track
from vvf.calibration.poses_camera import check_size
from vvf.calibration.poses_robot import Robot
from vvf.calibration.robot_check import RobotPainter
from vvf.calibration.robot_check_board import board_error
from vvf.errors import UserError
from vvf.images import ImageError, RgbImage, to_rgb

Array = npt.NDArray[np.float64]

#: How far from an image the nearest joint state may be, s.
TOLERANCE_S = 0.1
_CLOCK = 1000  # ticks of a video's time per second


@dataclass
class CheckTally:
    """What the frames of a check had.

    Attributes:
        frames: that were drawn.
        without_joints: that were not, for want of a joint state near to them.
        corner_px: rms distance of the board's corners, for each frame that shows it.
        off_mm: of the board's middle, for each of those.
        off_deg: of its direction.
        tip_px: of the last frame.
    """

    frames: int = 0
    without_joints: int = 0
    corner_px: list[float] = field(default_factory=list)
    off_mm: list[float] = field(default_factory=list)
    off_deg: list[float] = field(default_factory=list)
    tip_px: tuple[float, float] | None = None

    def numbers(self) -> dict[str, Any]:
        """For JSON; None where no frame showed a board."""

        def middle(values: list[float]) -> float | None:
            return float(np.median(values)) if values else None

        return {
            'frames': self.frames,
            'frames_without_joints': self.without_joints,
            'frames_with_board': len(self.corner_px),
            'corner_px': middle(self.corner_px),
            'corner_px_max': max(self.corner_px, default=None),
            'board_off_mm': middle(self.off_mm),
            'board_off_deg': middle(self.off_deg),
            'tip_px': self.tip_px,
        }


class Checker:
    """Draws frame after frame and keeps count.

    Args:
        painter: draws the robot.
        board: whose corners are compared; None for none.
    """

    def __init__(self, painter: RobotPainter, board: Board | None = None) -> None:
        self.painter, self.board = painter, board
        self.tally = CheckTally()

    def check(self, image: RgbImage, joints: Array | None, where: str) -> RgbImage | None:
        """The frame with the robot; None where its joints are not known.

        Args:
            image: (H, W, 3).
            joints: of `Robot.joints`, or None.
            where: what error messages call the image.

        Raises:
            UserError: The image has another size than the intrinsics.
        """
        check_size(image, self.painter.lens, where)
        tally = self.tally
        if joints is None:
            tally.without_joints += 1
            return None
        canvas = self.painter.draw(image, joints[:-1], float(joints[-1]))
        tip = self.painter.tip_pixel(joints[:-1])
        tally.frames += 1
        tally.tip_px = (float(tip[0]), float(tip[1])) if np.isfinite(tip).all() else None
        if self.board is not None:
            self._compare(image, joints[:-1], canvas)
        return canvas

    def _compare(self, image: RgbImage, q: Array, canvas: RgbImage) -> None:
        assert self.board is not None
        error = board_error(self.painter, self.board, image, q)
        if error is None:
            self.painter.write(canvas, 'the board is not seen')
            return
        self.painter.draw_corners(canvas, error.detected, error.predicted)
        words = f'corners off by {error.rms_px:.1f} px, board {error.off_mm:.1f} mm'
        self.painter.write(canvas, f'{words} {error.off_deg:.2f} deg')
        self.tally.corner_px.append(error.rms_px)
        self.tally.off_mm.append(error.off_mm)
        self.tally.off_deg.append(error.off_deg)


def joints_at(stamps: npt.NDArray[Any], table: Array, stamp: float, tolerance: float) -> Any:
    """Joints at a moment, between the two samples around it; None where none is near.

    Args:
        stamps: (T,) increasing.
        table: (T, n + 1).
        stamp: of the image, in the same unit.
        tolerance: in that unit.
    """
    if not len(stamps) or np.abs(stamps - stamp).min() > tolerance:
        return None
    return np.array([np.interp(stamp, stamps, column) for column in table.T])


def bag_frames(
    bag: Path, camera: str, robot: Robot, joint_topic: str = ''
) -> Iterator[tuple[float, RgbImage, Array | None]]:
    """Time in s, image (H, W, 3) and joints of each frame of a bag; damaged ones are left out.

    Raises:
        UserError: It has no such camera or no joint states.
    """
    with open_bag(bag) as reader:
        topic = camera_topic(reader, camera)
        stamps, table = joint_track(reader, robot, joint_topic)
        first = None
        for _, kind, recorded, cdr in reader.messages([topic]):
            stamp = header_stamp(cdr, kind) or recorded
            try:
                image = to_rgb(reader.deserialize(cdr, kind))
            except (DecodeError, ImageError):
                continue
            first = stamp if first is None else first
            joints = joints_at(stamps, table, stamp, TOLERANCE_S * 1e9)
            yield (stamp - first) * 1e-9, image, joints


def write_video(
    path: Path,
    frames: Iterator[tuple[float, RgbImage, Array | None]],
    checker: Checker,
    where: str,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write an mp4 of all frames, whole or not at all.

    Raises:
        UserError: No frame could be drawn.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.stem}.partial.mp4')
    with av.open(str(draft), 'w', options={'movflags': 'faststart'}) as file:
        stream = file.add_stream('libx264', rate=30, options={'crf': '20', 'preset': 'veryfast'})
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.max_b_frames = 0
        stream.time_base = stream.codec_context.time_base = Fraction(1, _CLOCK)
        last = -1
        for time, image, joints in frames:
            canvas = checker.check(image, joints, where)
            tick = round(time * _CLOCK)
            if canvas is None or tick <= last:
                continue
            # The format has half as many colours as pixels, so sides have to be even.
            canvas = canvas[: canvas.shape[0] // 2 * 2, : canvas.shape[1] // 2 * 2]
            if last < 0:
                stream.height, stream.width = canvas.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(canvas), format='rgb24')
            frame.pts, frame.time_base, last = tick, stream.time_base, tick
            file.mux(stream.encode(frame))
            progress(checker.tally.frames)
        if last >= 0:
            file.mux(stream.encode())
    if last < 0:
        draft.unlink()
        raise UserError(f'{where} has no image with a joint state near to it: nothing is drawn.')
    draft.replace(path)
