# SPDX-License-Identifier: Apache-2.0
"""How videos and frames are read: which cameras, how often, how long, how large."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vvf_models.data.images import crop_clip_images, resize_images

#: An image_size: every pixel is kept, as for exports.
AS_IT_IS = -1

#: What `ReadOptions.actions` may be.
ACTIONS = ('clean', 'executed')

_SHORT_SIDE = 256
_CROP = 224


@dataclass(frozen=True)
class ReadOptions:
    """Options of the readers that decode images; each reader says which of them it heeds.

    Attributes:
        cameras: Cameras to read, the first one giving the stamps; empty for all, by name.
        image_size: Side in pixels that a model takes. Frames are scaled to it while they are
            decoded, from their full size, as at run time. 0: kept in shape and only made small,
            to 224 (cropped) or 256 pixels (whole) on the shorter side; AS_IT_IS: not even that.
        fps: Frames a second that are taken of a faster video or LeRobot data set; 0 for every
            frame. The default is that of the task files and of BridgeData, so that one step lasts
            as long in all of them.
        clip_frames: Fewest and most frames of a clip, counted after that: 10 to 150 as V-PTR takes
            of Ego4D. A longer video is cut into equal clips, a shorter one is an error.
        crop: Whether only the middle square is seen, as R3M and VIP see Ego4D. By default so for
            videos and folders of frames without named cameras, and not for the views of a robot's
            cameras, which are squeezed as at run time.
        folder_fps: Frames a second of folders of frames; 0 if unknown, when they get no stamps and
            every frame is taken.
        tolerance: Frames by which the cameras of one episode may differ in length; the longer ones
            are cut to the shortest, and a log line says so.
        actions: Which actions .npz episodes give, where a data set's expert disturbed its own:
            'clean', what it wanted, which is what to imitate; or 'executed', what was done, which
            is what led to the next frame. Others hold only one kind.
    """

    cameras: tuple[str, ...] = ()
    image_size: int = 0
    fps: float = 5.0
    clip_frames: tuple[int, int] = (10, 150)
    crop: bool | None = None
    folder_fps: float = 0.0
    tolerance: int = 3
    actions: str = 'clean'

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ValueError: One of them makes no sense.
        """
        low, high = self.clip_frames
        if low < 2 or high < 2 * low:
            raise ValueError(f'clip_frames must be (a, b) with 2 <= a <= b / 2, not {low}, {high}')
        if self.actions not in ACTIONS:
            raise ValueError(f'actions must be one of {", ".join(ACTIONS)}, not {self.actions}')
        if self.image_size < AS_IT_IS:
            raise ValueError(f'image_size must not be negative: {self.image_size}')
        for name in ('fps', 'folder_fps', 'tolerance'):
            if not getattr(self, name) >= 0:
                raise ValueError(f'{name} must not be negative: {getattr(self, name)}')


def make_small(image: NDArray[np.uint8], image_size: int, crop: bool) -> NDArray[np.uint8]:
    """One frame as it is kept: scaled to the model's size, or made small where that is unknown.

    Args:
        image: (H, W, 3) uint8.
        image_size: See `ReadOptions`.
        crop: Whether to cut out the middle square.

    Returns:
        (h, w, 3) uint8; square if cropped or if there is an image_size.
    """
    short = min(image.shape[:2])
    if crop:
        whole = round(short * _CROP / _SHORT_SIDE)
        size = {AS_IT_IS: whole, 0: min(_CROP, whole)}.get(image_size, image_size)
        return _channels_last(crop_clip_images(image[None], max(1, size)))
    if image_size > 0:
        return _channels_last(resize_images(image[None], image_size))
    if short <= _SHORT_SIDE or image_size == AS_IT_IS:
        return image
    height, width = (round(side * _SHORT_SIDE / short) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _channels_last(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images[0].transpose(1, 2, 0))
