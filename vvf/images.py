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

CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, '8UC1': 1}
#: What RealSense, usb_cam and v4l2_camera publish unless they are told to convert: bytes per pixel,
#: and OpenCV's conversion. A Bayer pattern is named by its first two pixels in ROS, and by the
#: second and third of its second row in OpenCV.
_CONVERSIONS = {
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUYV),
    'yuyv': (2, cv2.COLOR_YUV2RGB_YUYV),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'nv12': (1, cv2.COLOR_YUV2RGB_NV12),
    'nv21': (1, cv2.COLOR_YUV2RGB_NV21),
    'bayer_rggb8': (1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, cv2.COLOR_BayerGB2RGB),
}
ENCODINGS = (*CHANNELS, *_CONVERSIONS)
_DEPTH = ('16UC1', '32FC1', 'mono16')
MAX_SIDE = 16384
MAX_PIXELS = 1 << 26

_JPEG = b'\xff\xd8'
_PNG = b'\x89PNG\r\n\x1a\n'


class ImageError(ValueError):
    """An image message that contradicts itself or cannot be decoded."""


def to_rgb(message: Any) -> RgbImage:
    """Convert an Image or CompressedImage message to an RGB array.

    Args:
        message: sensor_msgs Image (one of `ENCODINGS`) or CompressedImage (JPEG or PNG), of rclpy
            or rosbags.

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
    height, width, encoding = int(message.height), int(message.width), str(message.encoding)
    _check_encoding(encoding)
    _check_size(height, width)
    if encoding in CHANNELS:
        channels, lines = CHANNELS[encoding], height
    else:
        channels, lines = _CONVERSIONS[encoding][0], _lines(encoding, height, width)
    rows = _rows(message, lines, width * channels)
    if encoding in _CONVERSIONS:
        if rows[0, :3].tobytes() == _JPEG + b'\xff':  # ros-drivers/usb_cam#346
            raise ImageError(
                f"an image that claims to be '{encoding}' holds a JPEG: give usb_cam another "
                'pixel_format, such as mjpeg2rgb'
            )
        shape = (lines, width, channels) if channels > 1 else (lines, width)
        packed = np.ascontiguousarray(rows).reshape(shape)
        return np.asarray(cv2.cvtColor(packed, _CONVERSIONS[encoding][1]), np.uint8)
    pixels = rows.reshape(height, width, channels)
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if encoding.startswith('bgr'):
        return np.ascontiguousarray(pixels[:, :, 2::-1])
    return pixels[:, :, :3].copy()


def _check_encoding(encoding: str) -> None:
    if encoding in _DEPTH:
        raise ImageError(
            f"image encoding '{encoding}' is depth or infrared of 16 bits: give the camera's "
            'colour topic, such as /camera/camera/color/image_raw'
        )
    if encoding not in ENCODINGS:
        raise ImageError(f"image encoding '{encoding}' is not one of {', '.join(ENCODINGS)}")


def _lines(encoding: str, height: int, width: int) -> int:
    """Rows of bytes that an image has; colour may follow as half a plane more."""
    planar = encoding.startswith('nv')
    halved = width % 2 or (height % 2 and not encoding.endswith(('yuy2', 'yuyv', 'uyvy', '422')))
    if halved:
        raise ImageError(f'an image of {encoding} has even sides, not {width}x{height}')
    return height * 3 // 2 if planar else height


def _rows(message: Any, lines: int, length: int) -> npt.NDArray[np.uint8]:
    """The bytes of an image without the padding of its rows, (lines, length)."""
    step = int(message.step)
    if step < length:
        raise ImageError(
            f'image step {step} is below width x channels = {length} ({message.encoding})'
        )
    data = np.frombuffer(memoryview(message.data).cast('B'), np.uint8)
    # The last row may come without its padding.
    if data.size < step * (lines - 1) + length:
        raise ImageError(
            f'image data holds {data.size} bytes but its header claims {lines} rows of {step}'
        )
    if data.size < step * lines:
        data = np.concatenate([data, np.zeros(step * lines - data.size, np.uint8)])
    return data[: step * lines].reshape(lines, step)[:, :length]


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
    if 'compressedDepth' in claimed or claimed.startswith(_DEPTH):
        raise _depth_error(claimed)
    if raw.startswith(_JPEG):
        try:
            height, width = simplejpeg.decode_jpeg_header(raw)[:2]
            _check_size(height, width)
            return np.asarray(simplejpeg.decode_jpeg(raw, 'RGB'), np.uint8)
        except ImageError:
            raise
        except ValueError as error:
            raise ImageError(f'JPEG of {len(raw)} bytes is damaged: {error}') from error
    if raw.startswith(_PNG) and len(raw) >= 26:
        if raw[24] == 16 and raw[25] == 0:  # bits of each sample, and no colours
            raise _depth_error('16 bit png')
        width, height = (int.from_bytes(raw[i : i + 4], 'big') for i in (16, 20))
        _check_size(height, width)
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ImageError(f'PNG of {len(raw)} bytes is damaged')
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    raise ImageError(f"{len(raw)} bytes claimed to be '{claimed}' are neither JPEG nor PNG")


def _depth_error(claimed: str) -> ImageError:
    return ImageError(
        f"'{claimed}' is a depth image: give the camera's colour topic, such as "
        '/camera/camera/color/image_raw/compressed'
    )


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
