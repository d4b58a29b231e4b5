# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB arrays and back, without cv_bridge.

cv_bridge is compiled against NumPy 1 and fails to import beside NumPy 2, hence this. Messages are
taken by their fields, so those of rclpy and of rosbags work alike.
"""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

RgbImage = npt.NDArray[np.uint8]

CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
MAX_SIDE = 16384
MAX_PIXELS = 1 << 26

_JPEG = b'\xff\xd8'
_PNG = b'\x89PNG\r\n\x1a\n'


class ImageError(ValueError):
    """An image message that contradicts itself or cannot be decoded."""


def to_rgb(message: Any) -> RgbImage:
    """Convert an Image or CompressedImage message to an RGB array.

    Args:
        message: sensor_msgs Image (rgb8, bgr8, rgba8, bgra8 or mono8) or CompressedImage (JPEG or
            PNG), of rclpy or rosbags.

    Returns:
        uint8 array (height, width, 3), writable and owning its memory.

    Raises:
        ImageError: Unknown encoding, impossible size, data shorter than the header claims, or a
            compressed image that cannot be decoded.
    """
    if hasattr(message, 'encoding'):
        return _raw_to_rgb(message)
    return decode(memoryview(message.data).cast('B'), str(message.format))


def _raw_to_rgb(message: Any) -> RgbImage:
    height, width, step = int(message.height), int(message.width), int(message.step)
    encoding = str(message.encoding)
    if encoding not in CHANNELS:
        raise ImageError(f"image encoding '{encoding}' is not one of {', '.join(CHANNELS)}")
    _check_size(height, width)
    channels = CHANNELS[encoding]
    if step < width * channels:
        raise ImageError(
            f'image step {step} is below width x channels = {width * channels} ({encoding})'
        )
    data = np.frombuffer(memoryview(message.data).cast('B'), np.uint8)
    # The last row may come without its padding.
    needed = step * (height - 1) + width * channels
    if data.size < needed:
        raise ImageError(
            f'image data holds {data.size} bytes but its header claims {height} rows of {step}'
        )
    if data.size < step * height:
        data = np.concatenate([data, np.zeros(step * height - data.size, np.uint8)])
    rows = data[: step * height].reshape(height, step)[:, : width * channels]
    pixels = rows.reshape(height, width, channels)
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if encoding.startswith('bgr'):
        return np.ascontiguousarray(pixels[:, :, 2::-1])
    return pixels[:, :, :3].copy()


def decode(data: bytes | memoryview, claimed: str = '') -> RgbImage:
    """Decode JPEG or PNG bytes to RGB; the content decides, not the claimed format.

    Args:
        data: The encoded bytes.
        claimed: The format the message claims; only used in error messages.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        ImageError: Neither JPEG nor PNG, an impossible size, or damaged data.
    """
    raw = bytes(data)
    if raw.startswith(_JPEG):
        try:
            height, width = simplejpeg.decode_jpeg_header(raw)[:2]
            _check_size(height, width)
            return np.asarray(simplejpeg.decode_jpeg(raw, 'RGB'), np.uint8)
        except ImageError:
            raise
        except ValueError as error:
            raise ImageError(f'JPEG of {len(raw)} bytes is damaged: {error}') from error
    if raw.startswith(_PNG) and len(raw) >= 24:
        width, height = (int.from_bytes(raw[i : i + 4], 'big') for i in (16, 20))
        _check_size(height, width)
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ImageError(f'PNG of {len(raw)} bytes is damaged')
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    raise ImageError(f"{len(raw)} bytes claimed to be '{claimed}' are neither JPEG nor PNG")


def encode_jpeg(image: RgbImage, quality: int = 90) -> bytes:
    """Encode an RGB uint8 array (height, width, 3) as JPEG."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, 'RGB'))


def fill_image(message: Any, image: RgbImage) -> Any:
    """Fill a sensor_msgs/Image message with an RGB uint8 array (height, width, 3).

    The header is left to the caller. ``data`` becomes an ``array.array``, since rclpy checks any
    other sequence element by element, which takes longer than the whole transport.

    Returns:
        The message.

    Raises:
        ImageError: The array is not uint8 of shape (height, width, 3).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f'expected uint8 (height, width, 3), got {image.dtype} {image.shape}')
    message.height, message.width = int(image.shape[0]), int(image.shape[1])
    message.encoding, message.is_bigendian = 'rgb8', 0
    message.step = message.width * 3
    message.data = array.array('B', np.ascontiguousarray(image).tobytes())
    return message


def fill_compressed(message: Any, image: RgbImage, quality: int = 90) -> Any:
    """Fill a sensor_msgs/CompressedImage message with an RGB array as JPEG; see fill_image."""
    message.format = 'rgb8; jpeg compressed bgr8'
    message.data = array.array('B', encode_jpeg(image, quality))
    return message


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ImageError(f'image size {width}x{height} has no pixels')
    if height > MAX_SIDE or width > MAX_SIDE or height * width > MAX_PIXELS:
        raise ImageError(f'image size {width}x{height} is beyond {MAX_PIXELS} pixels')
