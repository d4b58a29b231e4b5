# SPDX-License-Identifier: Apache-2.0
"""What calibration takes out of a bag: the postures in which the arm rested, joints, images.

Only images are taken around which the arm stood still, one for each posture: then neither the
camera's delay nor the arm's play matters.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.bags.frames import header_stamp
from vvf.bags.reader import BagReader, DecodeError, open_bag
from vvf.calibration.poses_robot import Robot, need_angles
from vvf.calibration.poses_views import Angles, RgbImage, View
from vvf.errors import UserError
from vvf.images import ImageError, to_rgb
from vvf.viz.bag_notes import camera_topics
from vvf_sim.robots.arm import ARMS

JOINT_STATE = 'sensor_msgs/msg/JointState'
STILL_S = 0.25
STILL_RAD = 0.005
_SAME_RAD = 0.02
# Images tried in one posture until the board is seen: a frame may be blurred or a hand before it.
_TRIES = 3

Stamps = npt.NDArray[np.int64]


def views_of_bag(bag: Path, camera: str, robot: Robot, topic: str = '') -> list[View]:
    """One view for each posture in which the arm stood still.

    Args:
        bag: what was recorded.
        camera: its name in the task file, or its topic.
        robot: whose joints are looked for.
        topic: of the joint states; the first that has all joints where it is empty.

    Raises:
        UserError: There is no such camera, there are no joint states, or the arm never stood still.
    """
    with open_bag(bag) as reader:
        where = camera_topic(reader, camera)
        stamps, joints = joint_track(reader, robot, topic)
        frames = [
            header_stamp(cdr, kind) or recorded
            for _, kind, recorded, cdr in reader.messages([where])
        ]
        groups = rests(np.array(frames, np.int64), stamps, joints[:, :-1])
        tried = [_from_the_middle(stamps)[:_TRIES] for stamps, _ in groups]
        kept = _raw_images(reader, where, {stamp for some in tried for stamp in some})
    if not groups:
        raise UserError(
            f'{bag}: the arm never stood still while camera {camera} saw it; let it rest for a '
            'second in each pose.'
        )
    return [
        View(str(number), q, partial(_decoded, [kept[stamp] for stamp in some if stamp in kept]))
        for number, (some, (_, q)) in enumerate(zip(tried, groups, strict=True), 1)
    ]


def bag_robot(bag: Path) -> str:
    """The arm that the task embedded in a bag names; '' where there is none."""
    with open_bag(bag) as reader:
        task = reader.task
    return task.robot if task is not None and task.robot in ARMS else ''


def camera_topic(reader: BagReader, camera: str) -> str:
    """Topic of a camera that is given by name or topic.

    Raises:
        UserError: The bag has none.
    """
    known = camera_topics(reader)
    if not camera and len(known) == 1:
        return next(iter(known.values()))
    for name, topic in known.items():
        if camera in (name, topic, topic.strip('/')):
            return topic
    listed = ', '.join(known) or 'none'
    raise UserError(f'{reader.path} has no camera {camera!r}: give --camera; there are {listed}.')


def joint_track(reader: BagReader, robot: Robot, topic: str = '') -> tuple[Stamps, Angles]:
    """Stamps (T,) in ns and `Robot.joints` (T, n + 1), in order of time.

    Raises:
        UserError: There are none.
    """
    topics = [t.topic for t in reader.topics.values() if t.type == JOINT_STATE]
    if topic and topic not in topics:
        listed = ', '.join(topics) or 'none'
        raise UserError(f'{reader.path} has no joint states on {topic}; there are {listed}.')
    tracks: dict[str, list[tuple[int, Angles]]] = {name: [] for name in topics}
    for name, kind, recorded, cdr in reader.messages([topic] if topic else topics):
        try:
            message = reader.deserialize(cdr, kind)
        except DecodeError:
            continue
        joints = robot.joints(message.name, message.position)
        if joints is not None:
            tracks[name].append((header_stamp(cdr, kind) or recorded, joints))
    # Of several topics the quickest says most.
    best = max(tracks.values(), key=len, default=[])
    if not best:
        need_angles(None, robot.arm, f'{reader.path}')
    best.sort(key=lambda row: row[0])
    return np.array([row[0] for row in best]), np.stack([row[1] for row in best])


def rests(frames: Stamps, stamps: Stamps, angles: Angles) -> list[tuple[list[int], Angles]]:
    """The postures in which the arm stood still.

    Args:
        frames: (F,) stamps of images, ns.
        stamps: (T,) of joint states, ns, increasing.
        angles: (T, n) rad.

    Returns:
        For each posture the stamps of its images, and its angles (n,): the median.
    """
    reach = round(STILL_S * 1e9)
    groups: list[tuple[list[int], Angles]] = []
    unbroken = False
    for frame in np.sort(frames).tolist():
        low, high = np.searchsorted(stamps, [frame - reach, frame + reach])
        around = angles[low:high]
        covered = len(around) >= 2 and stamps[low] <= frame <= stamps[high - 1]
        if not covered or np.ptp(around, axis=0).max() > STILL_RAD:
            unbroken = False
            continue
        q = np.median(around, axis=0)
        if groups and unbroken and np.abs(groups[-1][1] - q).max() < _SAME_RAD:
            groups[-1][0].append(frame)
        else:
            groups.append(([frame], q))
        unbroken = True
    return groups


def _from_the_middle(stamps: Sequence[int]) -> list[int]:
    """Stamps in the order of their distance from the middle one: there a rest is stillest."""
    middle = stamps[len(stamps) // 2]
    return sorted(stamps, key=lambda stamp: abs(stamp - middle))


def _raw_images(reader: BagReader, topic: str, stamps: Container[int]) -> dict[int, Any]:
    """The messages with these stamps, still packed: all images of a bag would not fit."""
    found = {}
    for _, kind, recorded, cdr in reader.messages([topic]):
        stamp = header_stamp(cdr, kind) or recorded
        if stamp in stamps:
            try:
                found[stamp] = reader.deserialize(cdr, kind)
            except DecodeError:
                continue
    return found


def _decoded(messages: Sequence[Any]) -> Iterator[RgbImage]:
    """Images of messages; damaged ones are passed over."""
    for message in messages:
        try:
            yield to_rgb(message)
        except ImageError:
            continue
