# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB and back, and messages that contradict themselves."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tests.shared_data import shared_data
from vvf.bags import open_bag
from vvf.images import ImageError, encode_jpeg, fill_compressed, fill_image, to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def raw(data: np.ndarray, encoding: str, **changes: int) -> SimpleNamespace:
    height, width = data.shape[:2]
    fields = {'height': height, 'width': width, 'step': data.size // height, 'is_bigendian': 0}
    return SimpleNamespace(encoding=encoding, data=data.reshape(-1), **{**fields, **changes})


@pytest.mark.parametrize(
    ('encoding', 'data', 'expected'),
    [
        ('rgb8', RGB, RGB),
        ('bgr8', RGB[:, :, ::-1], RGB),
        ('rgba8', np.dstack([RGB, RGB[:, :, :1]]), RGB),
        ('bgra8', np.dstack([RGB[:, :, ::-1], RGB[:, :, :1]]), RGB),
        ('mono8', RGB[:, :, :1], np.repeat(RGB[:, :, :1], 3, axis=2)),
    ],
)
def test_encodings(encoding: str, data: np.ndarray, expected: np.ndarray) -> None:
    image = to_rgb(raw(np.ascontiguousarray(data), encoding))
    np.testing.assert_array_equal(image, expected)
    assert image.flags.writeable
    assert image.flags.c_contiguous


def test_rows_may_be_padded_and_the_last_one_may_not_be() -> None:
    padded = np.zeros((5, 32), np.uint8)
    padded[:, :21] = RGB.reshape(5, 21)
    message = raw(RGB, 'rgb8', step=32)
    message.data = padded.reshape(-1)
    np.testing.assert_array_equal(to_rgb(message), RGB)
    message.data = padded.reshape(-1)[:-11]
    np.testing.assert_array_equal(to_rgb(message), RGB)


@pytest.mark.parametrize(
    ('message', 'said'),
    [
        (raw(RGB, 'rgb8', height=6), 'holds 105 bytes but its header claims 6 rows of 21'),
        (raw(RGB, 'rgb8', step=20), 'step 20 is below width x channels = 21'),
        (raw(RGB, 'rgb8', width=0), 'has no pixels'),
        (raw(RGB, 'rgb8', height=0), 'has no pixels'),
        (raw(RGB, 'rgb8', height=2**31, width=2**31, step=2**31 * 3), 'is beyond'),
        (raw(RGB, '16UC1'), "encoding '16UC1'"),
        (SimpleNamespace(format='jpeg', data=b''), 'neither JPEG nor PNG'),
        (SimpleNamespace(format='jpeg', data=b'\xff\xd8garbage'), 'is damaged'),
        (SimpleNamespace(format='jpeg', data=encode_jpeg(RGB)[:200]), 'is damaged'),
        (SimpleNamespace(format='png', data=b'\x89PNG\r\n\x1a\n' + b'\xff' * 40), 'is beyond'),
    ],
)
def test_malformed_images_are_refused(message: SimpleNamespace, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        to_rgb(message)
    assert said in str(caught.value)
    assert '\n' not in str(caught.value)


def test_truncated_png_is_refused() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    data = cv2.imencode('.png', noise)[1].tobytes()
    np.testing.assert_array_equal(
        to_rgb(SimpleNamespace(format='png', data=data)), noise[:, :, ::-1]
    )
    with pytest.raises(ImageError, match='damaged'):
        to_rgb(SimpleNamespace(format='png', data=data[:40]))


def test_round_trips() -> None:
    np.testing.assert_array_equal(to_rgb(fill_image(SimpleNamespace(), RGB)), RGB)
    smooth = np.zeros((32, 32, 3), np.uint8)
    smooth[:, 16:] = (200, 30, 90)
    decoded = to_rgb(fill_compressed(SimpleNamespace(), smooth, 98))
    assert np.abs(decoded.astype(int) - smooth).mean() < 3
    with pytest.raises(ImageError, match='expected uint8'):
        fill_image(SimpleNamespace(), RGB.astype(np.float32))


def test_real_camera_frames_decode() -> None:
    with open_bag(shared_data('wx200_bag')) as bag:
        topic = '/camera/color/image_raw/compressed'
        shapes = {to_rgb(bag.deserialize(raw, t)).shape for _, t, _, raw in bag.messages([topic])}
    assert shapes == {(240, 320, 3)}
