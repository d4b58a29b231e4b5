# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from vvf_models.data.images import crop_clip_images


@pytest.mark.parametrize('shape', [(480, 640), (640, 480), (256, 256), (240, 426)])
def test_it_shows_what_resize_256_crop_224_resize_shows(shape):
    height, width = shape
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    scale = 256 / min(shape)
    whole = cv2.resize(
        image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR
    )
    top, left = (whole.shape[0] - 224) // 2, (whole.shape[1] - 224) // 2
    cut = np.ascontiguousarray(whole[top : top + 224, left : left + 224])
    expected = cv2.resize(cut, (64, 64), interpolation=cv2.INTER_AREA)
    given = crop_clip_images(image[None], 64)[0].transpose(1, 2, 0)
    difference = np.abs(given.astype(int) - expected)
    assert given.shape == (64, 64, 3)
    assert difference.mean() < 2
    # A crop that is off by a tenth of the picture differs far more.
    assert np.abs(np.roll(given, 6, 1).astype(int) - expected).mean() > 10


def test_impossible_crops_are_refused():
    with pytest.raises(ValueError, match='crop must be'):
        crop_clip_images(np.zeros((1, 8, 8, 3), np.uint8), 4, crop=300)
    with pytest.raises(ValueError, match='uint8'):
        crop_clip_images(np.zeros((1, 8, 8, 4), np.uint8), 4)
