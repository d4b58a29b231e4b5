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
        ('8UC1', RGB[:, :, :1], np.repeat(RGB[:, :, :1], 3, axis=2)),
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


ORANGE = (230, 120, 40)


def yuv(order: str) -> np.ndarray:
    """A 4x6 picture of one colour, two pixels in four bytes in the given order."""
    red, green, blue = (c / 255.0 for c in ORANGE)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # BT.601 in the narrow range of video
    values = {
        'y': 16 + 219 * luma,
        'u': 128 + 224 * (blue - luma) / 1.772,
        'v': 128 + 224 * (red - luma) / 1.402,
    }
    return np.array([round(values[letter]) for letter in order], np.uint8)


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('yuv422_yuy2', 'yuyv'), ('yuyv', 'yuyv'), ('yuv422', 'uyvy'), ('uyvy', 'uyvy')],
)
def test_packed_colours_of_usb_cameras(encoding: str, order: str) -> None:
    data = np.tile(yuv(order), (4, 3)).reshape(4, 12)
    image = to_rgb(raw(data, encoding, width=6))
    assert image.shape == (4, 6, 3)
    assert np.abs(image.astype(int) - ORANGE).max() <= 3
    with pytest.raises(ImageError, match='even sides'):
        to_rgb(raw(data, encoding, width=5))


def test_a_jpeg_in_the_guise_of_a_raw_image_is_named() -> None:
    data = np.zeros((4, 12), np.uint8)
    data[0, :4] = np.frombuffer(b'\xff\xd8\xff\xe0', np.uint8)
    with pytest.raises(ImageError, match='mjpeg2rgb'):
        to_rgb(raw(data, 'yuv422', width=6))


@pytest.mark.parametrize(('encoding', 'order'), [('nv12', 'uv'), ('nv21', 'vu')])
def test_planar_colours(encoding: str, order: str) -> None:
    data = np.vstack([np.tile(yuv('yy'), (4, 3)), np.tile(yuv(order), (2, 3))])
    image = to_rgb(raw(data, encoding, height=4, step=6))
    assert image.shape == (4, 6, 3)
    assert np.abs(image.astype(int) - ORANGE).max() <= 3
    with pytest.raises(ImageError, match='claims 6 rows of 6'):
        to_rgb(raw(data[:5], encoding, height=4, step=6))


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns(pattern: str) -> None:
    mosaic = np.zeros((8, 8), np.uint8)
    for place, letter in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = ORANGE['rgb'.index(letter)]
    image = to_rgb(raw(mosaic, f'bayer_{pattern}8'))
    np.testing.assert_array_equal(image, np.broadcast_to(ORANGE, (8, 8, 3)))


@pytest.mark.parametrize(
    'message',
    [
        raw(np.zeros((4, 12), np.uint8), '16UC1', width=6),
        raw(np.zeros((4, 24), np.uint8), '32FC1', width=6),
        raw(np.zeros((4, 12), np.uint8), 'mono16', width=6),
        SimpleNamespace(format='16UC1; compressedDepth png', data=b'\0' * 40),
        SimpleNamespace(
            format='png', data=cv2.imencode('.png', np.zeros((4, 4), np.uint16))[1].tobytes()
        ),
    ],
)
def test_depth_is_refused_with_advice(message: SimpleNamespace) -> None:
    with pytest.raises(ImageError, match='colour topic'):
        to_rgb(message)


def test_a_compressed_image_is_not_taken_for_bgr() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:] = ORANGE
    for suffix, claimed in (('.jpg', 'rgb8; jpeg compressed bgr8'), ('.png', 'png')):
        data = cv2.imencode(suffix, picture[:, :, ::-1])[1].tobytes()  # OpenCV wants BGR
        image = to_rgb(SimpleNamespace(format=claimed, data=data))
        assert np.abs(image.astype(int) - ORANGE).max() <= 3


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
